/* Chooses the instruction set that dispatch.gen.c forwards to. */
#ifndef TH_DISPATCH_H
#define TH_DISPATCH_H

#include "../thimble.h"

/** The machine has it: library.c checks before it calls. */
void th_dispatch_select(th_isa isa);

#endif
