//! The configuration for sfptpd: the operator's, with the names that ports have now.

use super::ConfigFault;
use super::port::{self, PortRef};
use super::reader::{self, Place};

/// The text with each port replaced by its interface, and not one byte else.
///
/// # Errors
/// With the first line that cannot be used: as [`check`](super::check) refuses it, or a port that is not
/// there or has no interface, or an instance that has neither.
pub fn render(text: &str, ports: &[PortRef]) -> Result<String, ConfigFault> {
    let read = reader::read(text)?;
    if let Some((line, name)) = read.without_interface {
        return Err(ConfigFault {
            line,
            what: format!("instance `{name}` has no interface"),
            fix: format!("give it one in `[{name}]`: `interface port:0`"),
        });
    }
    let mut rendered = String::with_capacity(text.len());
    let mut places = read.ports.iter().peekable();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let mut written = 0;
        while let Some(place) = places.next_if(|place| place.line == at + 1) {
            rendered.push_str(&line[written..place.at.start]);
            rendered.push_str(interface(place, ports)?);
            written = place.at.end;
        }
        rendered.push_str(&line[written..]);
    }
    Ok(rendered)
}

/// The interface that a port has now.
fn interface<'a>(place: &Place, ports: &'a [PortRef]) -> Result<&'a str, ConfigFault> {
    let refuse =
        |what: String, fix: &str| Err(ConfigFault { line: place.line, what, fix: fix.to_owned() });
    let named = port::parse(&place.word);
    let port = named.and_then(|named| ports.iter().find(|port| named.is(port)));
    let Some(port) = port else {
        let what = format!("there is no Solarflare port `{}`", place.word);
        return refuse(what, "name one that `onloadctl ports` shows");
    };
    let Some(interface) = &port.interface else {
        let what = format!("`{}` ({}) has no network interface", place.word, port.pci);
        return refuse(
            what,
            "see why with `onloadctl ports`: its driver is not loaded, or not bound",
        );
    };
    // A comment or a quote to sfptpd; the kernel allows them in names.
    if interface.as_str().contains(['#', '\'', '"', '\\']) {
        let what = format!("`{}` is called `{interface}`, which sfptpd cannot read", place.word);
        return refuse(what, "give the interface a plain name");
    }
    Ok(interface.as_str())
}
