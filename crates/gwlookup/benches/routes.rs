//! The cost of a route lookup, from the ring to the printed line: `cargo bench -p gwlookup`, as root.
//! The whole program reads a full ring, with and without lookups; `ip -batch` does the same lookups
//! for comparison. Prints medians and their ratio.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench is run by hand and read at once"
)]

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::process::Command;
use std::process::Stdio;
use std::time::Instant;

use netlink::netns::Namespace;
use shared::record::Record;
use shared::record::wire::address_bytes;
use shared::record::wire::family;
use shared::record::wire::kind;
use shared::record::wire::known;
use shared::ring::RingName;
use shared::ring::Writer;
use shared::ring::layout::SLOT_BYTES;
use shared::ring::layout::Source;
use tempfile::TempDir;

const RECORDS: usize = 65_536;
const ROUNDS: usize = 9;

/// A namespace that is deleted with this value.
struct Scene(String);

impl Scene {
    fn new() -> Self {
        let scene = Self(format!("sx-{}-bench", std::process::id()));
        ip(&["netns", "add", &scene.0]);
        for line in [
            "link add uplink type veth peer name uplink-far",
            "link add lan type veth peer name lan-far",
            "link set uplink up",
            "link set uplink-far up",
            "link set lan up",
            "link set lan-far up",
            "address add 192.0.2.2/24 dev uplink",
            "address add 10.1.0.1/24 dev lan",
            "route add default via 192.0.2.1",
        ] {
            let mut args = vec!["-n", &scene.0];
            args.extend(line.split(' '));
            ip(&args);
        }
        scene
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success());
}

fn real_destination(number: usize) -> IpAddr {
    Ipv4Addr::from(0x0800_0000 + number as u32).into()
}

/// Microseconds per record that a command takes; the median of all rounds.
fn median_us(mut command: impl FnMut() -> Command) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let status = command().stdout(Stdio::null()).status().unwrap();
            assert!(status.success());
            start.elapsed().as_secs_f64() * 1e6 / RECORDS as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// The whole program on a ring full of connections from `caller`.
fn gwlookup_us(name: &RingName, netns: Option<u32>, caller: [u8; 4]) -> f64 {
    let ring_bytes = (4096 + RECORDS * SLOT_BYTES) as u64;
    let mut writer = Writer::create(name, ring_bytes, Source::Tracepoint).unwrap();
    let caller = address_bytes(caller.into());
    for number in 0..RECORDS {
        let real = address_bytes(real_destination(number));
        writer.push(&Record {
            ct_id: number as u64,
            r#type: kind::NEW,
            family: family::IPV4,
            proto: 6,
            known: netns.map_or(0, |_| known::NETNS),
            netns_ino: netns.unwrap_or(0),
            orig_src: caller,
            orig_dst: real,
            reply_src: real,
            reply_dst: caller,
            orig_sport: 40_000,
            orig_dport: 443,
            reply_sport: 443,
            reply_dport: 40_000,
            ..Record::BLANK
        });
    }
    median_us(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gwlookup"));
        command.args(["-q", "-o", "json", "--count", &RECORDS.to_string()]);
        command.arg("--ring").arg(name.path());
        command
    })
}

/// iproute2, with one lookup for each record.
fn iproute2_us(directory: &TempDir, scene: &Scene, how: &str) -> f64 {
    let mut batch = String::new();
    for number in 0..RECORDS {
        writeln!(batch, "route get {}{how}", real_destination(number)).unwrap();
    }
    let file = directory.path().join("batch");
    fs::write(&file, batch).unwrap();
    median_us(|| {
        let mut command = Command::new("ip");
        command.args(["-n", &scene.0, "-batch"]).arg(&file);
        command
    })
}

fn main() {
    // `cargo test` runs benches too, and must not measure.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let scene = Scene::new();
    Namespace::open(format!("/run/netns/{}", scene.0).as_ref())
        .unwrap()
        .run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
        .unwrap()
        .unwrap();
    let netns = Namespace::open(format!("/run/netns/{}", scene.0).as_ref())
        .unwrap()
        .inum();
    let directory = TempDir::new().unwrap();
    let ring: RingName = directory
        .path()
        .join("ring")
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let read = gwlookup_us(&ring, None, [10, 1, 0, 7]);
    let local = gwlookup_us(&ring, Some(netns), [192, 0, 2, 2]);
    let forwarded = gwlookup_us(&ring, Some(netns), [10, 1, 0, 7]);
    let theirs_local = iproute2_us(&directory, &scene, " from 192.0.2.2");
    let theirs_forwarded = iproute2_us(&directory, &scene, " from 10.1.0.7 iif lan");
    println!("read and print, no lookup               {read:6.2} µs per record");
    for (what, ours, theirs) in [
        ("from this host", local, theirs_local),
        ("forwarded", forwarded, theirs_forwarded),
    ] {
        let lookup = ours - read;
        println!(
            "{what:15} lookup: three requests {lookup:6.2} µs, {:.2} µs each; whole {ours:.2} µs",
            lookup / 3.0
        );
        println!(
            "{what:15} ip -batch: one request {theirs:6.2} µs; ratio {:.1}",
            theirs / ours
        );
    }
}
