//! There is no way around the one read path: each file is another try, and none of them compiles.

#[test]
fn d27_no_way_around_the_permit_compiles() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
