// SPDX-License-Identifier: GPL-2.0-only
/* The DDoS mitigator at the XDP hook. */
#define CUBE_XDP
#include "cube.h"
#include "headers.h"
#include "check.h"

CUBE(ddos_mitigator)
{
	return mitigate(c);
}
