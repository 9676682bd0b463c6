//! Any bytes as the kernel's type information and a module's: the first two bytes are the length of the
//! kernel's part. Every field has an offset or a reason, and a module changes no offset of the kernel.
#![no_main]

use std::io;

use guesser::btf::TypeInfo;
use libfuzzer_sys::fuzz_target;
use shared::offsets::Field;

fuzz_target!(|bytes: &[u8]| {
    let Some((len, bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let len = usize::from(u16::from_le_bytes(*len));
    let (vmlinux, module) = bytes.split_at(len.min(bytes.len()));
    let absent = || Err::<&[u8], _>(io::ErrorKind::NotFound.into());
    let Ok(alone) = TypeInfo::read(vmlinux, absent, Field::ALL) else {
        return;
    };
    let both = TypeInfo::read(vmlinux, || Ok(module), Field::ALL)
        .expect("what parses without a module parses with one");
    for field in Field::ALL {
        assert_ne!(both.offset(*field).is_some(), both.reason(*field).is_some());
        if let Some(offset) = alone.offset(*field) {
            assert_eq!(both.offset(*field), Some(offset), "{field}");
        }
    }
});
