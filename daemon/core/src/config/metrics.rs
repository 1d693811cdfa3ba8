//! `[metrics]`: where figures for monitoring are had.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::settings::{Fault, check_path};

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetricsSettings {
    /// The Unix socket on which they are served; empty: on none.
    pub socket: String,
    /// The address and port at which they are served as well. None: at none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { socket: "/run/onloadd/metrics.sock".to_owned(), listen: None }
    }
}

impl MetricsSettings {
    /// The address that [`MetricsSettings::listen`] says; none where it says none.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.as_deref()?.parse().ok()
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let fault = |key: &str, what: &str| Err((format!("metrics.{key}"), what.to_owned()));
        if !self.socket.is_empty()
            && let Err(what) = check_path(&self.socket)
        {
            return fault("socket", &format!("{what}, or \"\" for no socket"));
        }
        if self.listen.is_none() {
            return Ok(());
        }
        let Some(address) = self.address() else {
            return fault(
                "listen",
                "must be an address and a port, such as 127.0.0.1:9557 or [::1]:9557; names are not looked up",
            );
        };
        if address.port() == 0 {
            return fault("listen", "needs a port: with 0 it would be another at each start");
        }
        if address.ip().is_multicast() || address.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return fault("listen", "must be an address of this node, not one of many");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(listen: &str) -> MetricsSettings {
        MetricsSettings { listen: Some(listen.to_owned()), ..MetricsSettings::default() }
    }

    #[test]
    fn addresses_that_one_can_listen_at() {
        for good in ["127.0.0.1:9557", "[::1]:9557", "0.0.0.0:80", "192.0.2.10:9557"] {
            assert_eq!(listening(good).check(), Ok(()), "{good}");
            assert_eq!(listening(good).address().unwrap().to_string(), good);
        }
        assert_eq!(MetricsSettings::default().address(), None);
    }

    #[test]
    fn what_is_no_address_is_refused_by_its_key() {
        let bad = ["", "localhost:9557", "127.0.0.1", ":9557", "127.0.0.1:0", "127.0.0.1:70000"];
        for bad in bad.into_iter().chain(["224.0.0.1:9557", "255.255.255.255:1", "::1:9557"]) {
            let (key, _) = listening(bad).check().unwrap_err();
            assert_eq!(key, "metrics.listen", "{bad}");
        }
    }

    #[test]
    fn a_socket_has_an_absolute_path_or_none() {
        let at = |socket: &str| MetricsSettings { socket: socket.to_owned(), listen: None };
        assert_eq!(at("").check(), Ok(()));
        assert_eq!(at("/run/x.sock").check(), Ok(()));
        for bad in ["metrics.sock", "/run/../x.sock", "/run/x\0"] {
            assert_eq!(at(bad).check().unwrap_err().0, "metrics.socket", "{bad}");
        }
    }
}
