// SPDX-License-Identifier: GPL-2.0-only
/* The clock of a port: the raw system clock, with an offset and a rate of its own. */
#include <linux/math64.h>
#include <linux/ktime.h>
#include <linux/module.h>

#include "sfc.h"

/* Parts per billion, as the hardware allows. */
#define MAX_ADJUSTMENT	500000
/* One million, in the 16 fractional bits in which the kernel states a rate. */
#define SCALED_MILLION	(1000000ULL << 16)

static struct sfc_port *clock_port(struct ptp_clock_info *info)
{
	return container_of(info, struct sfc_port, clock_info);
}

/* Brings the count up to now, at the rate in force until now. */
static void advance(struct sfc_port *port)
{
	u64 raw = ktime_get_raw_ns();
	u64 passed = raw - port->clock_raw_ns;
	u64 drift = mul_u64_u64_div_u64(passed, abs(port->clock_scaled_ppm), SCALED_MILLION);

	port->clock_raw_ns = raw;
	port->clock_ns += port->clock_scaled_ppm < 0 ? passed - drift : passed + drift;
}

/* At a moment just gone by, of the raw system clock. */
ktime_t sfc_clock_at(struct sfc_port *port, u64 raw)
{
	unsigned long flags;
	u64 then;

	spin_lock_irqsave(&port->clock_lock, flags);
	advance(port);
	then = port->clock_ns - (port->clock_raw_ns - raw);
	spin_unlock_irqrestore(&port->clock_lock, flags);
	return ns_to_ktime(then);
}

static int adjust_rate(struct ptp_clock_info *info, long scaled_ppm)
{
	struct sfc_port *port = clock_port(info);
	unsigned long flags;

	spin_lock_irqsave(&port->clock_lock, flags);
	advance(port);
	port->clock_scaled_ppm = scaled_ppm;
	spin_unlock_irqrestore(&port->clock_lock, flags);
	return 0;
}

static int adjust_time(struct ptp_clock_info *info, s64 delta)
{
	struct sfc_port *port = clock_port(info);
	unsigned long flags;

	spin_lock_irqsave(&port->clock_lock, flags);
	port->clock_ns += delta;
	spin_unlock_irqrestore(&port->clock_lock, flags);
	return 0;
}

static int get_time(struct ptp_clock_info *info, struct timespec64 *time,
		    struct ptp_system_timestamp *system)
{
	ptp_read_system_prets(system);
	*time = ktime_to_timespec64(sfc_clock_at(clock_port(info), ktime_get_raw_ns()));
	ptp_read_system_postts(system);
	return 0;
}

static int set_time(struct ptp_clock_info *info, const struct timespec64 *time)
{
	struct sfc_port *port = clock_port(info);
	unsigned long flags;

	spin_lock_irqsave(&port->clock_lock, flags);
	port->clock_raw_ns = ktime_get_raw_ns();
	port->clock_ns = timespec64_to_ns(time);
	spin_unlock_irqrestore(&port->clock_lock, flags);
	return 0;
}

static int enable_nothing(struct ptp_clock_info *info, struct ptp_clock_request *request, int on)
{
	return -EOPNOTSUPP;
}

static const struct ptp_clock_info clock_template = {
	.owner = THIS_MODULE,
	.name = KBUILD_MODNAME,
	.max_adj = MAX_ADJUSTMENT,
	.adjfine = adjust_rate,
	.adjtime = adjust_time,
	.gettimex64 = get_time,
	.settime64 = set_time,
	.enable = enable_nothing,
};

int sfc_clock_register(struct sfc_port *port)
{
	spin_lock_init(&port->clock_lock);
	port->clock_raw_ns = ktime_get_raw_ns();
	port->clock_ns = ktime_get_real_ns();
	port->clock_info = clock_template;
	port->clock = ptp_clock_register(&port->clock_info, &port->pdev->dev);
	return PTR_ERR_OR_ZERO(port->clock);
}

void sfc_clock_unregister(struct sfc_port *port)
{
	ptp_clock_unregister(port->clock);
}
