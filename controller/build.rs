//! What is built into the binary without the compiler's knowing: new migrations and the web view.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=../web/dist");
}
