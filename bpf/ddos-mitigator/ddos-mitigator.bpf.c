// SPDX-License-Identifier: GPL-2.0-only
/* The DDoS mitigator at the TC hook: refuses listed sources and destinations, and what comes too fast. */
#include "cube.h"
#include "headers.h"
#include "check.h"

CUBE(ddos_mitigator)
{
	return mitigate(c);
}
