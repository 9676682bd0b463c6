//! The identity of the running kernel, exact enough that measured offsets are never used on another one,
//! and of its boot. Reads `uname(2)`, `/sys/kernel/notes` and `/proc`; decides nothing.

use std::fs;
use std::io;

use nix::sys::utsname::uname;

use serde::Deserialize;
use serde::Serialize;

/// Identity of a running kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct KernelIdentity {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`: the build's number, options and date.
    pub version: String,
    /// `uname -m`.
    pub machine: String,
    /// GNU build-id as lower-case hex; absent if the kernel was linked without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
}

impl KernelIdentity {
    /// Identity of the kernel this process runs on.
    ///
    /// # Errors
    /// If `uname(2)` fails. Missing or unreadable notes only leave `build_id` absent.
    pub fn running() -> io::Result<Self> {
        let name = uname()?;
        Ok(Self {
            release: name.release().to_string_lossy().into_owned(),
            version: name.version().to_string_lossy().into_owned(),
            machine: name.machine().to_string_lossy().into_owned(),
            build_id: fs::read("/sys/kernel/notes")
                .ok()
                .as_deref()
                .and_then(gnu_build_id),
        })
    }
}

/// The id of this boot, `/proc/sys/kernel/random/boot_id`, as two words.
///
/// # Errors
/// If the file cannot be read or holds no UUID.
pub fn boot_id() -> io::Result<[u64; 2]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no boot id"))?;
    Ok([(id >> 64) as u64, id as u64])
}

/// `NT_GNU_BUILD_ID` of `elf.h`.
const NT_GNU_BUILD_ID: u32 = 3;

/// The build-id in a stream of ELF notes (`Elf_Nhdr`: name size, descriptor size, type; both
/// parts padded to 4 bytes). `None` if there is none or the stream is cut short before it.
fn gnu_build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let (header, rest) = notes.split_first_chunk::<12>()?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (name_bytes, desc_bytes) = (word(0) as usize, word(4) as usize);
        let name = rest.get(..name_bytes)?;
        let rest = rest.get(name_bytes.next_multiple_of(4)..)?;
        let desc = rest.get(..desc_bytes)?;
        if word(8) == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(desc.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = rest.get(desc_bytes.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], desc: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [name.len() as u32, desc.len() as u32, kind] {
            bytes.extend(word.to_ne_bytes());
        }
        for part in [name, desc] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn finds_the_build_id_behind_other_notes() {
        let notes = [
            note(6, b"Xen\0", b"x"),
            note(3, b"GNU\0", &[0xab, 0x01, 0xff]),
        ]
        .concat();
        assert_eq!(gnu_build_id(&notes).as_deref(), Some("ab01ff"));
    }

    #[test]
    fn cut_or_foreign_notes_give_none() {
        let notes = note(3, b"GNU\0", &[1; 20]);
        for len in 0..notes.len() {
            assert_eq!(gnu_build_id(&notes[..len]), None, "cut at {len}");
        }
        assert_eq!(gnu_build_id(&note(3, b"Go\0\0", &[1; 4])), None);
    }

    #[test]
    fn this_kernel_has_a_release() {
        assert!(!KernelIdentity::running().unwrap().release.is_empty());
    }
}
