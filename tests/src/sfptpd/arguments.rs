//! Its command line (reference/sfptpd.md section 2).

use super::Refused;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// `-h` or `--version`: say so much, and end.
    pub(super) only_say: Option<String>,
    /// `-f`; `-` is the standard input.
    pub(super) file: Option<String>,
    /// `-t`: read the configuration and end.
    pub(super) test: bool,
    /// `-u USER[:GROUP]`.
    pub(super) user: Option<String>,
    /// `-i`: the interface of instances that name none.
    pub(super) interface: Option<String>,
    /// `-L`.
    pub(super) no_lock: bool,
    /// `--daemon` or `--no-daemon`; none leaves it to the configuration.
    pub(super) daemon: Option<bool>,
}

impl Arguments {
    /// Reads the command line as `getopt_long` does: values stand in the same word or the next.
    ///
    /// # Errors
    /// EINVAL for what it does not know.
    pub(super) fn read(words: impl Iterator<Item = String>) -> Result<Self, Refused> {
        let mut words = words;
        let mut read = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--no-daemon" => read.daemon = Some(false),
                "--daemon" => read.daemon = Some(true),
                "--console" => {}
                "--version" => read.only_say = Some(format!("sfptpd version {}", super::VERSION)),
                "--help" => read.only_say = Some(usage()),
                long if long.starts_with("--cpu=") => {}
                short if short.len() > 1 && short.starts_with('-') && !short.starts_with("--") => {
                    read.short(short.trim_start_matches('-'), &mut words)?;
                }
                _ => return Err(unknown(&word)),
            }
        }
        Ok(read)
    }

    fn short(
        &mut self,
        letters: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<(), Refused> {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let mut value = || match rest.as_str() {
                "" => words.next().ok_or_else(|| unknown(&format!("-{letter} without a value"))),
                attached => Ok(attached.to_owned()),
            };
            match letter {
                'h' => self.only_say = Some(usage()),
                't' => self.test = true,
                'L' => self.no_lock = true,
                'v' => {}
                // Its value is optional, and so only ever attached.
                'p' => return Ok(()),
                'f' => self.file = Some(value()?),
                'u' => self.user = Some(value()?),
                'i' => self.interface = Some(value()?),
                'D' => drop(value()?),
                _ => return Err(unknown(&format!("-{letter}"))),
            }
            if matches!(letter, 'f' | 'u' | 'i' | 'D') {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn usage() -> String {
    "usage: sfptpd [-htLv] [-i IF] [-D DOMAIN] [-f FILE] [-u USER[:GROUP]] [-p[PATH]] \
     [--console] [--daemon|--no-daemon] [--cpu=SPEC] [--version]"
        .to_owned()
}

fn unknown(word: &str) -> Refused {
    Refused::new(Refused::EINVAL, format!("unknown argument {word}; {}", usage()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, Refused> {
        Arguments::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_line_of_the_packages_unit_is_understood() {
        let read = read("--no-daemon -p -u_sfptpd -f /etc/sfptpd.conf").unwrap();
        assert_eq!(read.daemon, Some(false));
        assert_eq!(read.user.as_deref(), Some("_sfptpd"));
        assert_eq!(read.file.as_deref(), Some("/etc/sfptpd.conf"));
    }

    #[test]
    fn values_are_attached_or_follow_and_letters_join() {
        let joined = read("-tvf/x").unwrap();
        assert_eq!((joined.test, joined.file.as_deref()), (true, Some("/x")));
        assert_eq!(read("-u sfptpd:wheel").unwrap().user.as_deref(), Some("sfptpd:wheel"));
        assert_eq!(read("-f").unwrap_err().errno, Refused::EINVAL);
        assert_eq!(read("--bogus").unwrap_err().errno, Refused::EINVAL);
        assert_eq!(read("stray").unwrap_err().errno, Refused::EINVAL);
    }
}
