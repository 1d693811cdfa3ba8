/* SPDX-License-Identifier: GPL-2.0-only */
/* What the card tells its driver in configuration space, in place of a firmware to ask. */
#ifndef ONLOADD_CARD_H
#define ONLOADD_CARD_H

/* The last byte of a function's permanent address, behind the standard header. */
#define CARD_MAC_END	0x40
#define CARD_MAC_FIRST	0x10

#endif
