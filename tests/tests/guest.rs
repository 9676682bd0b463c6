//! The pipeline on a distribution kernel, under qemu: by kprobe and by tracepoint, with the static
//! programs of `SEXTANT_STATIC_DIR`. The kernel comes from the machine's own package sources.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use scenes::differential::in_guest;
use scenes::differential::kinds::KINDS;
use scenes::differential::visible::Source;
use scenes::guest::Guest;
use scenes::guest::Output;
use scenes::oracle;
use scenes::tree::script;
use serde_json::Value;
use shared::offsets::Field;

/// The folder of Debian's 6.12 cloud kernel.
fn kernel() -> String {
    script("kernel", &["trixie", "6.12", "cloud"]).expect("a kernel")
}

/// The folder of the static programs.
fn programs() -> OsString {
    env::var_os("SEXTANT_STATIC_DIR")
        .expect("SEXTANT_STATIC_DIR names the folder that scripts/build --static prints")
}

/// Boots it and runs a scene of `tests/scenes` there.
fn play(scene: &str) -> Output {
    let programs = programs();
    let kernel = kernel();
    let guest = Guest {
        tools: &["ip", "nft", "conntrack"],
        ..Guest::new(Path::new(&kernel), Path::new(&programs))
    };
    guest.play(scene).expect("a scene that ends well")
}

fn json(output: &Output, kind: &str) -> Vec<Value> {
    output.json(kind).expect("JSON")
}

/// The proven fields of an offsets document as lines of `scripts/truth`; other fields with their status.
fn offsets(document: &Value) -> BTreeSet<String> {
    let fields = document["fields"].as_array().expect("a list of fields");
    fields
        .iter()
        .map(|field| {
            let name = field["name"].as_str().expect("a name");
            match field["status"].as_str().expect("a status") {
                "proven" => format!("{name} {}", field["offset"]),
                status => format!("{name} {status}"),
            }
        })
        .collect()
}

/// Where the fields of a connection are, according to a compiler.
fn truth() -> BTreeSet<String> {
    let file = script("truth", &[&kernel()]).expect("a truth");
    let lines = fs::read_to_string(file).expect("lines");
    let of_connection = |line: &&str| {
        Field::CONNTRACK
            .iter()
            .any(|field| line.starts_with(&format!("{field} ")))
    };
    lines
        .lines()
        .filter(of_connection)
        .map(str::to_owned)
        .collect()
}

fn check(source: &str) {
    let output = play(&format!("guest.sh {source}"));
    assert!(
        output.lines("kernel")[0].starts_with("6.12"),
        "{:?}",
        output.lines("kernel")
    );

    let truth = truth();
    assert_eq!(offsets(&json(&output, "guess")[0]), truth);
    assert_eq!(offsets(&json(&output, "btf")[0]), truth);

    let records = json(&output, "record");
    let entries: Vec<oracle::Entry> = output
        .lines("oracle")
        .iter()
        .map(|line| oracle::parse(line))
        .collect();
    assert_eq!(output.lines("call").len(), 4);
    assert_eq!(entries.len(), 4, "{entries:?}");
    for entry in &entries {
        for kind in ["new", "destroy"] {
            let ours: Vec<&Value> = records
                .iter()
                .filter(|record| record["type"] == kind)
                .filter(|record| {
                    let ours = oracle::of_record(record);
                    (&ours.proto, &ours.orig) == (&entry.proto, &entry.orig)
                })
                .collect();
            assert_eq!(ours.len(), 1, "{kind} records of {entry:?}");
            assert_eq!(oracle::of_record(ours[0]).reply, entry.reply);
            assert_eq!(ours[0]["source"], source);
            assert_eq!(ours[0]["route"]["oif_name"], "uplink");
            let gateway = if ours[0]["family"] == "ipv4" {
                "10.77.2.254"
            } else {
                "fd77:2::254"
            };
            assert_eq!(ours[0]["route"]["gateway"], gateway);
        }
    }
    assert!(
        !records.iter().any(|record| record["type"] == "loss"),
        "nothing was lost"
    );
    let inserted = |record: &&Value| record["type"] == "new" && record["orig"]["src"] == "10.9.9.9";
    // Nothing of it is ever sent.
    let seen = usize::from(source != "tracepoint");
    assert_eq!(records.iter().filter(inserted).count(), seen);
    let fires = output.lines("hook");
    let fires: Vec<&String> = fires
        .iter()
        .filter(|line| line.ends_with(", fires"))
        .collect();
    assert_eq!(
        fires.len(),
        if source == "tracepoint" { 1 } else { 3 },
        "{fires:?}"
    );
}

#[test]
fn guest_reports_nat_by_kprobe() {
    check("kprobe");
}

#[test]
fn guest_reports_nat_by_fentry() {
    check("fentry");
}

#[test]
fn guest_reports_nat_by_tracepoint() {
    check("tracepoint");
}

const MILLISECOND_NS: u64 = 1_000_000;

/// The times of all records, while the clock is set an hour forth and two back. `late_ns`: how much later than
/// its connection a record may be.
fn check_times(source: &str, late_ns: u64) {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let output = play(&format!("clock.sh {source}"));
    let (ours, theirs) = (json(&output, "conntrack"), json(&output, "gwlookup"));
    let calls = output.lines("call");
    assert_eq!(calls.len(), 30);
    let (mut untimed, mut start_ns) = (0, Vec::new());
    for call in calls {
        let words: Vec<&str> = call.split(' ').collect();
        let [_, local, _, before_ns, after_ns] = words[..] else {
            panic!("{call}");
        };
        let [before_ns, after_ns]: [u64; 2] =
            [before_ns, after_ns].map(|ns| ns.parse().expect("nanoseconds"));
        start_ns.push(before_ns);
        let (_, port) = local.rsplit_once(':').expect("an address and port");
        let port: u16 = port.parse().expect("a port");
        let find = |records: &[Value]| {
            let fits = |record: &&Value| {
                record["type"] == "new"
                    && record["orig"]["dst"] == "10.96.0.10"
                    && record["orig"]["sport"] == port
            };
            let found: Vec<Value> = records.iter().filter(fits).cloned().collect();
            assert_eq!(found.len(), 1, "records of {call}");
            found[0]
                .get("ts_ns")
                .map(|ts_ns| ts_ns.as_u64().expect("a number"))
        };
        let ts_ns = find(&ours);
        assert_eq!(ts_ns, find(&theirs), "the two programs say the same");
        untimed += usize::from(ts_ns.is_none());
        if let Some(ts_ns) = ts_ns {
            let is_near = before_ns - MILLISECOND_NS <= ts_ns && ts_ns <= after_ns + late_ns;
            assert!(is_near, "{ts_ns} for {call}");
        }
    }
    // The steps did take place, and only what is near to one may have no time.
    assert!(start_ns[10] > start_ns[9] + HOUR_NS / 2, "{start_ns:?}");
    assert!(start_ns[20] < start_ns[19] - HOUR_NS, "{start_ns:?}");
    assert!(untimed <= 2, "{untimed} records without a time");
}

#[test]
fn guest_times_are_right_while_the_clock_is_set_by_tracepoint() {
    check_times("tracepoint", MILLISECOND_NS);
}

/// ctnetlink does not say when: the time is that of reading.
#[test]
fn guest_times_of_reading_follow_the_clock_that_is_set() {
    check_times("netlink", 1000 * MILLISECOND_NS);
}

/// Random flows of every kind are reported as they were.
fn compare(source: Source) {
    let programs = programs();
    let task = in_guest::Task {
        kernel: "6.12",
        programs: Path::new(&programs),
        seed: 1,
        runs: 1,
        flows: KINDS.len(),
        source,
        kinds: &[],
    };
    let said = in_guest::play(&task).expect("a run that ends");
    assert_eq!(said.code, "0", "{:#?}", said.lines);
    let head = format!("{source} seed 1: {} flows of ", KINDS.len());
    let is_head = |line: &String| line.starts_with(&head);
    assert!(said.lines.iter().any(is_head), "{:#?}", said.lines);
}

#[test]
fn guest_reports_random_flows_as_they_were_by_kprobe() {
    compare(Source::Kprobe);
}

#[test]
fn guest_without_connection_tracking_is_named_and_left_as_it_is() {
    let output = play("bare_guest.sh");
    for (program, code, word) in [
        ("kcheck", "5", "nf_conntrack"),
        ("guesser", "5", "nf_conntrack"),
        ("conntrack", "5", "nf_conntrack"),
    ] {
        let says = output.lines(&format!("{program}.says"));
        assert_eq!(output.lines(&format!("{program}.exit")), [code], "{says:?}");
        assert!(
            says.iter().any(|line| line.contains(word)),
            "{program}: {says:?}"
        );
    }
    assert_eq!(output.lines("after"), output.lines("before"));
}
