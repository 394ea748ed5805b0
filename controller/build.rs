//! What is built into the binary without the compiler's knowing: new migrations and the web view.

#[expect(clippy::print_stdout, reason = "that is how a build script speaks")]
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=../web/dist");
}
