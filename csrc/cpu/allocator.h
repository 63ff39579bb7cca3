/* What library.c asks of the allocator besides the ABI. */
#ifndef TH_ALLOCATOR_H
#define TH_ALLOCATOR_H

/** Gives the memory that is kept for arrays to come back to the system. */
void th_trim_cache(void);

#endif
