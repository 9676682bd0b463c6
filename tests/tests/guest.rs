//! The pipeline on a distribution kernel, under qemu: by kprobe and by tracepoint, with the static
//! programs of `SEXTANT_STATIC_DIR`. The kernel comes from the machine's own package sources.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use scenes::oracle;
use scenes::program::run;
use serde_json::Value;
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the guest told, by kind.
struct Told(HashMap<String, Vec<String>>);

impl Told {
    fn lines(&self, kind: &str) -> &[String] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }

    fn json(&self, kind: &str) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).expect("JSON");
        self.lines(kind).iter().map(parse).collect()
    }
}

/// Boots Debian's 6.12 cloud kernel and plays `guest.sh` there.
fn play(source: &str) -> Told {
    let programs = env::var_os("SEXTANT_STATIC_DIR")
        .expect("SEXTANT_STATIC_DIR names the folder that scripts/build --static prints");
    let kernel =
        run(Command::new(repository().join("scripts/kernel")).args(["trixie", "6.12", "cloud"]));
    let directory = TempDir::new().expect("a new directory");
    let scene = directory.path().join("scene");
    fs::write(&scene, format!("#!/bin/sh\nexec sh /guest.sh {source}\n")).expect("a new file");

    let mut command = Command::new(repository().join("scripts/vm"));
    for program in ["kcheck", "guesser", "conntrack", "gwlookup", "traffic"] {
        let host = Path::new(&programs).join(program);
        command
            .arg("--file")
            .arg(format!("{}:/sextant/{program}", host.display()));
    }
    for script in ["lab.sh", "guest.sh"] {
        let host = repository().join("tests/scenes").join(script);
        command
            .arg("--file")
            .arg(format!("{}:/{script}", host.display()));
    }
    for tool in ["ip", "nft", "conntrack"] {
        command.args(["--tool", tool]);
    }
    let output = run(command.arg(kernel.trim()).arg(&scene));
    let mut told: HashMap<String, Vec<String>> = HashMap::new();
    for line in output.lines() {
        let (kind, text) = line.split_once('\t').expect("two columns");
        told.entry(kind.to_owned())
            .or_default()
            .push(text.to_owned());
    }
    Told(told)
}

fn offsets(document: &Value) -> Vec<(&str, &Value, &Value)> {
    let fields = document["fields"].as_array().expect("a list of fields");
    fields
        .iter()
        .map(|field| {
            (
                field["name"].as_str().expect("a name"),
                &field["status"],
                &field["offset"],
            )
        })
        .collect()
}

fn check(source: &str) {
    let told = play(source);
    assert!(
        told.lines("kernel")[0].starts_with("6.12"),
        "{:?}",
        told.lines("kernel")
    );

    let (guess, btf) = (told.json("guess"), told.json("btf"));
    assert_eq!(offsets(&guess[0]), offsets(&btf[0]));
    assert!(
        offsets(&guess[0])
            .iter()
            .all(|(_, status, _)| **status == "proven")
    );

    let records = told.json("record");
    let entries: Vec<oracle::Entry> = told
        .lines("oracle")
        .iter()
        .map(|line| oracle::parse(line))
        .collect();
    assert_eq!(told.lines("call").len(), 4);
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
}

#[test]
fn guest_tells_what_nat_did_by_kprobe() {
    check("kprobe");
}

#[test]
fn guest_tells_what_nat_did_by_tracepoint() {
    check("tracepoint");
}
