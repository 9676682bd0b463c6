//! guesser as a black box on this kernel: what it prints, what it writes, how it ends. BTF is the
//! oracle. Needs root, unshare, script and bpftool; leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use harness::Finished;
use harness::need_root;
use harness::wait_until;
use serde_json::Value;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::Method;
use shared::offsets::Status;
use shared::offsets::codec;

const GUESSER: &str = env!("CARGO_BIN_EXE_guesser");

fn run(command: &mut Command) -> Finished {
    need_root();
    harness::run(command)
}

fn guesser(args: &[&str]) -> Finished {
    run(Command::new(GUESSER).args(args))
}

/// Runs a shell script with the program's path as `$0`.
fn shell(wrapper: &[&str], script: &str, args: &[&str]) -> Finished {
    let (program, rest) = wrapper.split_first().unwrap();
    run(Command::new(program)
        .args(rest)
        .args(["sh", "-euc", script, GUESSER])
        .args(args))
}

/// Name and offset of each field, all of them proven.
fn offsets(document: &Value) -> Vec<(String, u64)> {
    document["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| {
            assert_eq!(field["status"], "proven", "{field}");
            (
                field["name"].as_str().unwrap().to_owned(),
                field["offset"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn measured_offsets_are_those_the_kernel_was_compiled_with() {
    let measured = guesser(&["--method", "guess", "--format", "json", "-q"]).json();
    let compiled = guesser(&["--method", "btf", "--format", "json", "-q"]).json();
    let names: Vec<String> = Field::CONNTRACK
        .iter()
        .map(|field| field.path().to_owned())
        .collect();
    let found = offsets(&measured);
    assert_eq!(
        found
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>(),
        names
    );
    assert_eq!(found, offsets(&compiled));

    assert_eq!(measured["schema"], 1);
    assert!(measured["elapsed_us"].as_u64().unwrap() > 0);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(measured["kernel"]["release"], release.trim());
    for field in measured["fields"].as_array().unwrap() {
        assert_eq!(field["method"], "guess");
        assert!(field["evidence_bits"].as_u64().unwrap() >= 40, "{field}");
        assert_eq!(field["candidates"].as_array().unwrap().len(), 1);
        assert!(field.get("btf_offset").is_none(), "BTF was not asked");
    }
    for field in compiled["fields"].as_array().unwrap() {
        assert_eq!(field["method"], "btf");
        assert!(field.get("evidence_bits").is_none(), "nothing was measured");
    }
}

/// The names of the contract, in its order.
const NAMES: [&str; 35] = [
    "nf_conn.tuplehash[0].tuple",
    "nf_conn.tuplehash[1].tuple",
    "nf_conn.status",
    "nf_conn.ct_net",
    "nf_conn.mark",
    "nf_conn.zone",
    "nf_conn.timeout",
    "net.ns.inum",
    "sk_buff._nfct",
    "sk_buff.sk",
    "sk_buff.head",
    "sk_buff.transport_header",
    "sk_buff.network_header",
    "sk_buff.mac_header",
    "sock.skc_daddr",
    "sock.skc_rcv_saddr",
    "sock.skc_dport",
    "sock.skc_num",
    "sock.skc_family",
    "sock.skc_net",
    "sock.skc_v6_daddr",
    "sock.skc_v6_rcv_saddr",
    "inet_sock.inet_saddr",
    "inet_sock.inet_sport",
    "tcp_sock.srtt_us",
    "tcp_sock.mdev_us",
    "socket.sk",
    "flowi4.saddr",
    "flowi4.daddr",
    "flowi4.fl4_sport",
    "flowi4.fl4_dport",
    "flowi6.saddr",
    "flowi6.daddr",
    "flowi6.fl6_sport",
    "flowi6.fl6_dport",
];

#[test]
fn every_field_is_measured_where_it_was_compiled() {
    let all = ["--fields", "all", "--format", "json", "-q"];
    let said = |more: &[&str]| offsets(&guesser(&[&all, more].concat()).json());
    let compiled = said(&["--method", "btf"]);
    let names: BTreeSet<&str> = compiled.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(NAMES));
    assert_eq!(compiled.len(), NAMES.len(), "each once");
    assert_eq!(said(&["--method", "guess"]), compiled);
    assert_eq!(said(&["--hook", "tracepoint"]), compiled);
}

#[test]
fn the_fields_of_a_socket_are_measured_without_connection_tracking() {
    let args = ["--fields", "socket", "--format", "json", "-q"];
    let measured = guesser(&[&args[..], &["--method", "guess"]].concat()).json();
    let compiled = guesser(&[&args[..], &["--method", "btf"]].concat()).json();
    let found = offsets(&measured);
    assert_eq!(found, offsets(&compiled));
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let asked = Field::SOCKET.iter().map(|field| field.path()).collect();
    assert_eq!(names, asked);
}

#[test]
fn a_requested_hook_that_is_missing_is_named() {
    let said = guesser(&["--hook", "kprobe"]);
    if said.code == 0 {
        // A kernel with kprobes measures the same with them.
        codec::decode(&said.bytes).unwrap();
        return;
    }
    assert_eq!(said.code, 5, "{}", said.err);
    assert!(said.bytes.is_empty());
    assert_eq!(said.lines().len(), 1, "{}", said.err);
    for words in [
        "nothing shows our packets",
        "kprobe loopback_xmit",
        "kprobe dev_hard_start_xmit",
    ] {
        assert!(said.err.contains(words), "no {words} in {}", said.err);
    }
}

#[test]
fn by_default_measurement_and_btf_agree_in_a_document_of_this_kernel() {
    let said = guesser(&[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.lines().len(), 1, "{}", said.err);
    assert!(said.err.starts_with("guesser: 9 of 9 fields proven in "));
    let document = codec::decode_for(&said.bytes, &KernelIdentity::running().unwrap()).unwrap();
    for field in Field::CONNTRACK {
        let result = document.result(*field).unwrap();
        assert_eq!(result.status, Status::Proven);
        assert_eq!(result.method, Some(Method::GuessBtf));
        assert_eq!(result.offset, result.btf_offset);
        assert_eq!(document.proven(*field), result.offset);
    }
}

#[test]
fn a_file_is_replaced_whole_without_remains() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("offsets");
    fs::write(&file, "older").unwrap();
    let said = guesser(&["-q", "-o", file.to_str().unwrap()]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(said.bytes.is_empty());
    codec::decode(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let nowhere = dir.path().join("no/such/dir");
    let said = guesser(&["-q", "-o", nowhere.to_str().unwrap()]);
    assert_eq!(said.code, 3);
    assert!(
        said.err.starts_with("guesser: write the document to "),
        "{}",
        said.err
    );
    assert_eq!(said.lines().len(), 1);
}

#[test]
fn a_device_is_written_and_not_replaced() {
    let said = guesser(&["-q", "-o", "/dev/null"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
}

#[test]
fn a_pipe_with_a_reader_gets_the_document_and_stays() {
    let script = "mkfifo \"$1\"; cat \"$1\" >\"$2\" & \"$0\" -q --method btf -o \"$1\"; wait";
    let dir = tempfile::tempdir().unwrap();
    let (pipe, read) = (dir.path().join("pipe"), dir.path().join("read"));
    let paths = [pipe.to_str().unwrap(), read.to_str().unwrap()];
    let said = shell(&["env"], script, &paths);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
    codec::decode(&fs::read(&read).unwrap()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_link_to_stdout_is_written_and_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (link, redirected) = (dir.path().join("stdout"), dir.path().join("redirected"));
    symlink("/proc/self/fd/1", &link).unwrap();
    let status = Command::new(GUESSER)
        .args(["-q", "--method", "btf", "-o"])
        .arg(&link)
        .stdout(File::create(&redirected).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(link.symlink_metadata().unwrap().is_symlink());
    codec::decode(&fs::read(&redirected).unwrap()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_terminal_gets_a_table_instead_of_bytes() {
    let on_terminal = |args: &str| {
        let command = format!("{GUESSER} {args} 2>&1");
        run(Command::new("script").args(["-qefc", &command, "/dev/null"]))
    };
    let said = on_terminal("-q");
    let text = said.out;
    assert_eq!(said.code, 0, "{text}");
    assert!(text.contains("FIELD"), "{text}");
    assert!(text.contains("nf_conn.tuplehash[1].tuple"), "{text}");

    let said = on_terminal("--format bincode");
    let text = said.out;
    assert_eq!(said.code, 2);
    assert_eq!(
        text.trim(),
        "guesser: bincode is not for a terminal; use -o - to write it there"
    );
    let said = on_terminal("--format bincode -q -o -");
    assert_eq!(said.code, 0);
    assert!(said.bytes.starts_with(b"SXTOFF"));
}

#[test]
fn wrong_usage_is_named_in_one_line() {
    for args in [
        &["--fields", "nothing"][..],
        &["--method", "magic"],
        &["--hook", "fentry"],
        &["--format", "yaml"],
        &["--nope"],
        &["surplus"],
    ] {
        let said = guesser(args);
        assert_eq!(said.code, 2, "{args:?}");
        assert_eq!(said.lines().len(), 1, "{}", said.err);
        assert!(said.bytes.is_empty());
    }
}

#[test]
fn root_of_another_user_namespace_is_refused_by_the_kernel() {
    let said = run(Command::new("unshare").args(["--user", "--map-root-user", GUESSER]));
    assert_eq!(said.code, 4, "{}", said.err);
    assert_eq!(said.lines().len(), 1, "{}", said.err);
    assert!(said.err.contains("refuses bpf()"), "{}", said.err);
}

#[test]
fn it_measures_in_a_pid_namespace() {
    let mut command = Command::new("unshare");
    command.args([
        "--pid", "--fork", GUESSER, "-q", "--method", "guess", "--format", "json",
    ]);
    assert_eq!(
        offsets(&run(&mut command).json()).len(),
        Field::CONNTRACK.len()
    );
}

#[test]
fn a_pin_holds_the_document_and_is_replaced() {
    let said = shell(
        &["unshare", "--mount"],
        "mount -t bpf bpf /sys/fs/bpf
         mkdir /sys/fs/bpf/pins
         \"$0\" -q -o /dev/null --pin /sys/fs/bpf/pins/offsets
         \"$0\" -q -o /dev/null --pin /sys/fs/bpf/pins/offsets
         ls /sys/fs/bpf/pins >&2
         bpftool -j map dump pinned /sys/fs/bpf/pins/offsets",
        &[],
    );
    assert_eq!(said.err.trim(), "offsets", "the pin and nothing beside it");
    let dump = said.json();
    let entries = dump.as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let bytes: Vec<u8> = entries[0]["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|byte| {
            let text = byte.as_str().unwrap();
            u8::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
        })
        .collect();
    let document: Document = codec::decode(&bytes).unwrap();
    assert_eq!(document.fields.len(), Field::CONNTRACK.len());
}

#[test]
fn a_pin_outside_of_bpffs_is_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let pin = dir.path().join("offsets");
    let said = guesser(&["--pin", pin.to_str().unwrap()]);
    assert_eq!(said.code, 3);
    assert!(said.bytes.is_empty());
    assert!(
        said.err.contains("is not on a bpffs; mount one"),
        "{}",
        said.err
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let said = shell(
        &["env"],
        "{ \"$0\" -q --format json; echo $? >&2; } | true",
        &[],
    );
    assert_eq!(said.err.trim(), "0");
}

#[test]
fn it_reports_phases_and_eliminated_candidates() {
    let said = guesser(&["-v", "--explain", "-o", "/dev/null"]);
    assert_eq!(said.code, 0);
    for words in [
        "guesser: sk_buff._nfct: proven at ",
        "guesser:      64 ################ possible in what Packet shows",
        "possible behind sk_buff._nfct at ",
        "load ",
        "sample and solve ",
        "verify ",
    ] {
        assert!(said.err.contains(words), "no {words} in {}", said.err);
    }
}

#[test]
fn nothing_is_left_behind() {
    let named = || fs::read_dir("/run/netns").map_or(0, Iterator::count);
    let before = named();
    assert_eq!(guesser(&["-q", "-o", "/dev/null"]).code, 0);
    assert_eq!(named(), before);
    // The kernel frees a map and its program some time after the last descriptor, and tests beside
    // this one have theirs.
    wait_until("no map is left", || {
        let maps = run(Command::new("bpftool").args(["-j", "map", "show"]));
        !maps.out.contains("guess_exchange")
    });
}
