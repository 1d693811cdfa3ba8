//! Hysteresis: a clock counts as synchronised after a while of good looks, and as lost at once for an
//! alarm, and for an offset only when that stays.
