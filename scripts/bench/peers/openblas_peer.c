/* OpenBLAS's matrix products for the benchmark: row-major cblas_sgemm, one call a matrix of a batch. */
#include <cblas.h>

#include "peer.h"

static int batch, m, n, k, ta, tb;
static float *a, *b, *c;

static void step(void) {
  for (int i = 0; i < batch; i++) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1,
                a + (size_t)i * m * k, ta ? m : k, b + (size_t)i * k * n, tb ? k : n, 0, c + (size_t)i * m * n, n);
  }
}

static int prepare(const char *workload) {
  if (sscanf(workload, "matmul %d %d %d %d %d %d", &batch, &m, &n, &k, &ta, &tb) != 6) return 0;
  free(a), free(b), free(c);
  a = filled((size_t)batch * m * k, 1);
  b = filled((size_t)batch * k * n, 2);
  c = allocate((size_t)batch * m * n);
  step();
  answer(c, (size_t)batch * m * n);
  return 1;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "OpenBLAS %s", strstr(openblas_get_config(), "0."));
  strtok(name + 9, " ");
  return serve(name, prepare, step);
}
