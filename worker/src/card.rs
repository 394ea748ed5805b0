//! The GPU that an attempt trains on, as NVIDIA's management library (NVML) sees it: how it fares, and what befell it.

use std::ffi::OsStr;

use assay_trainer::TrainError;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::{Device, EventSet, Nvml};

/// Comes with the driver: where it is not, there is no GPU to look at.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The engine takes the first card that CUDA shows. A container's runtime hides the other cards from NVML as well, so
/// that it is the first here. Outside of one, `CUDA_VISIBLE_DEVICES` hides cards from CUDA alone: whoever sets it to
/// another card there sees the first one's series.
const FIRST: u32 = 0;

/// Milliseconds. CUDA says that a kernel failed before the driver says why.
const PATIENCE: u32 = 2000;

/// A card that is looked at.
#[derive(Debug)]
pub struct Card {
    device: Device<'static>,
    /// None: the driver reports no errors of this card to us.
    errors: Option<EventSet<'static>>,
}

/// What the library says of a card, in its own units.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    percent_busy: Option<u32>,
    memory: Option<u64>,
    milliwatts: Option<u32>,
    celsius: Option<u32>,
    throttled_by: Option<ThrottleReasons>,
    ecc_errors: Option<u64>,
}

impl Card {
    /// None: there is no such card here, or nobody to ask about it.
    #[must_use]
    pub fn open() -> Option<Self> {
        Self::through(LIBRARY)
    }

    /// Through a library of this name.
    #[must_use]
    pub fn through(library: &str) -> Option<Self> {
        let nvml = Nvml::builder().lib_path(OsStr::new(library)).init().ok()?;
        // A process has one attempt, and opens it once: it is in use until the process ends.
        let nvml: &'static Nvml = Box::leak(Box::new(nvml));
        let device = nvml.device_by_index(FIRST).ok()?;
        // What was reported before is no event: these are the errors of this attempt.
        let set = nvml.create_event_set().ok();
        let errors =
            set.and_then(|set| device.register_events(EventTypes::CRITICAL_XID_ERROR, set).ok());
        Some(Self { device, errors })
    }

    /// Names and values of series. What the driver does not say is left out.
    #[must_use]
    pub fn sample(&self) -> Vec<(&'static str, f64)> {
        let Self { device, .. } = self;
        series(Reading {
            percent_busy: device.utilization_rates().ok().map(|rates| rates.gpu),
            memory: device.memory_info().ok().map(|memory| memory.used),
            milliwatts: device.power_usage().ok(),
            celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            throttled_by: device.current_throttle_reasons().ok(),
            // refused by cards that have no ECC, or have it switched off
            ecc_errors: device
                .total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)
                .ok(),
        })
    }

    /// The newest error that the driver reported: of several that wait, NVML tells the last. To be asked when an
    /// engine failed: waits a moment if there is none.
    #[must_use]
    pub fn take_xid(&self) -> Option<u64> {
        match self.errors.as_ref()?.wait(PATIENCE).ok()?.event_data? {
            XidError::Value(code) => Some(code),
            XidError::Unknown => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a chart")]
fn series(reading: Reading) -> Vec<(&'static str, f64)> {
    let values = [
        ("system/gpu_utilization", reading.percent_busy.map(|percent| f64::from(percent) / 100.0)),
        ("system/gpu_memory_bytes", reading.memory.map(|bytes| bytes as f64)),
        ("system/gpu_power_watts", reading.milliwatts.map(|power| f64::from(power) / 1000.0)),
        ("system/gpu_celsius", reading.celsius.map(f64::from)),
        ("system/gpu_throttled", reading.throttled_by.map(|by| f64::from(is_trouble(by)))),
        ("system/gpu_ecc_errors", reading.ecc_errors.map(|errors| errors as f64)),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Whether something is wrong with heat or power. A card at its power limit, idle, or at the clocks that somebody set
/// is as it should be.
fn is_trouble(reasons: ThrottleReasons) -> bool {
    reasons.intersects(
        ThrottleReasons::HW_SLOWDOWN
            | ThrottleReasons::SW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN,
    )
}

/// Why an attempt failed, for people to read. CUDA says only that a kernel did; the driver's own error says whether the
/// card is to blame.
#[must_use]
pub fn explained(error: &anyhow::Error, xid: impl FnOnce() -> Option<u64>) -> String {
    let is_engine = matches!(error.downcast_ref(), Some(TrainError::Engine(_)));
    let Some(xid) = is_engine.then(xid).flatten() else { return format!("{error:#}") };
    let name = name(xid).map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{error:#}; the driver reported Xid {xid}{name}")
}

/// From <https://docs.nvidia.com/deploy/xid-errors/>: those that cards and kernels usually fail with.
fn name(xid: u64) -> Option<&'static str> {
    Some(match xid {
        13 => "graphics engine exception",
        31 => "memory page fault",
        43 => "the GPU stopped processing",
        45 => "cleaned up after an earlier error",
        48 => "double-bit ECC error",
        63 => "a row of memory is remapped",
        64 => "a row of memory cannot be remapped",
        74 => "NVLink error",
        79 => "the GPU has fallen off the bus",
        94 => "contained ECC error",
        95 => "uncontained ECC error",
        119 => "the GPU's system processor does not answer",
        120 => "the GPU's system processor failed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_library_there_is_no_card() {
        assert!(Card::through("libnvidia-ml-that-is-not-there.so.1").is_none());
    }

    #[test]
    fn what_the_driver_says_becomes_series_in_whole_units() {
        let reading = Reading {
            percent_busy: Some(97),
            memory: Some(70_000_000_000),
            milliwatts: Some(651_500),
            celsius: Some(71),
            throttled_by: Some(ThrottleReasons::SW_POWER_CAP),
            ecc_errors: Some(2),
        };
        let expected = [
            ("system/gpu_utilization", 0.97),
            ("system/gpu_memory_bytes", 7e10),
            ("system/gpu_power_watts", 651.5),
            ("system/gpu_celsius", 71.0),
            ("system/gpu_throttled", 0.0),
            ("system/gpu_ecc_errors", 2.0),
        ];
        assert_eq!(series(reading), expected);
    }

    #[test]
    fn what_the_driver_does_not_say_is_left_out() {
        assert_eq!(series(Reading::default()), []);
        let reading = Reading { celsius: Some(40), ..Reading::default() };
        assert_eq!(series(reading), [("system/gpu_celsius", 40.0)]);
    }

    #[test]
    fn heat_and_want_of_power_are_trouble_and_limits_are_not() {
        for reason in [
            ThrottleReasons::HW_SLOWDOWN,
            ThrottleReasons::SW_THERMAL_SLOWDOWN,
            ThrottleReasons::HW_THERMAL_SLOWDOWN,
            ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN,
        ] {
            assert!(is_trouble(reason | ThrottleReasons::SW_POWER_CAP), "{reason:?}");
        }
        for reason in [
            ThrottleReasons::NONE,
            ThrottleReasons::GPU_IDLE,
            ThrottleReasons::SW_POWER_CAP,
            ThrottleReasons::APPLICATIONS_CLOCKS_SETTING,
            ThrottleReasons::SYNC_BOOST,
        ] {
            assert!(!is_trouble(reason), "{reason:?}");
        }
    }

    #[test]
    fn the_driver_s_error_is_told_where_the_engine_failed() {
        let lost = anyhow::Error::from(TrainError::Engine(anyhow::anyhow!("the GPU is lost")));
        assert_eq!(explained(&lost, || None), "the engine failed: the GPU is lost");
        assert_eq!(
            explained(&lost, || Some(79)),
            "the engine failed: the GPU is lost; the driver reported Xid 79 (the GPU has fallen off the bus)"
        );
        assert!(explained(&lost, || Some(999_999)).ends_with("; the driver reported Xid 999999"));
        let other = anyhow::anyhow!("the checkpoint carries no reports");
        assert_eq!(explained(&other, || Some(79)), other.to_string());
    }
}
