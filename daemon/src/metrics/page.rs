//! The page as it is written: families, each with its name, what it means and its samples.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::meters::Histogram;

/// Labels of a sample, by name.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// A page being written.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

impl Page<'_> {
    /// A number that goes up and down.
    pub(super) fn gauge<'s, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s, N>, V)>,
    ) -> fmt::Result {
        self.gauges(name, help, None, samples)
    }

    /// A time or point in time in seconds; its name gets the unit.
    pub(super) fn seconds<'s, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s, N>, f64)>,
    ) -> fmt::Result {
        self.gauges(name, help, Some(Unit::Seconds), samples)
    }

    fn gauges<'s, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels<'s, N>, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in samples {
            if N == 0 {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    /// A number that only grows; its name gets `_total`.
    pub(super) fn counter<'s, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Durations by size; its name gets the unit.
    pub(super) fn durations<'s, const N: usize, const B: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s, N>, &'s Histogram<B>)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            let (sum, count, buckets) = histogram.read();
            let mut one = family.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// Facts, as labels of a one; its name gets `_info`.
    pub(super) fn info(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = impl EncodeLabelSet>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        samples.into_iter().try_for_each(|labels| family.encode_info(&labels))
    }
}
