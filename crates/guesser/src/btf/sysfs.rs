//! The bytes of a kernel's type information: mapped where the kernel allows it (6.16 and later), else
//! read, which takes 1,400 calls, since sysfs gives one page per call.
#![expect(unsafe_code, reason = "a mapped file")]

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
use memmap2::MmapOptions;

/// The contents of a file.
pub enum Contents {
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl Contents {
    /// Opens a file of sysfs.
    ///
    /// # Errors
    /// If it is not there or may not be read.
    pub fn of_sysfs(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let private = MmapOptions::new();
        // The mapping is private, since the kernel refuses a shared one.
        // SAFETY: type information is part of the kernel's image: it does not change or shrink.
        if let Ok(map) = unsafe { private.map_copy_read_only(&file) } {
            return Ok(Self::Mapped(map));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}
