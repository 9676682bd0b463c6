//! guesser on other kernels, under qemu: the short set of `tests/kernels.toml`, few runs each, judged
//! as `scripts/matrix` judges them. With the static programs of `SEXTANT_STATIC_DIR`.

use std::env;
use std::path::Path;

use scenes::matrix::examine::Effort;
use scenes::matrix::examine::Tried;
use scenes::matrix::examine::examine;
use scenes::matrix::kernels::Matrix;

fn check(name: &str) {
    let programs = env::var_os("SEXTANT_STATIC_DIR")
        .expect("SEXTANT_STATIC_DIR names the folder that scripts/build --static prints");
    let matrix = Matrix::parse(include_str!("../kernels.toml")).expect("data that makes sense");
    let kernels = matrix.select(&[name.to_owned()]).expect("a kernel");
    let effort = Effort::short(&matrix);
    let tried = Tried {
        programs: Path::new(&programs),
        version: "this tree",
    };
    let outcome = examine(&matrix, kernels[0], tried, effort).expect("a guest");
    assert_eq!(outcome.unexpected(), Vec::<String>::new());
}

#[test]
fn guest_fields_are_right_or_silent_on_5_10() {
    check("5.10");
}

#[test]
fn guest_fields_are_right_or_silent_on_6_12_and_under_conditions() {
    check("6.12");
}

#[test]
fn the_short_set_is_tried_here() {
    let matrix = Matrix::parse(include_str!("../kernels.toml")).expect("data that makes sense");
    let short = matrix.kernels.iter().filter(|kernel| kernel.short);
    let names: Vec<&str> = short.map(|kernel| kernel.name.as_str()).collect();
    assert_eq!(names, ["5.10", "6.12"]);
}
