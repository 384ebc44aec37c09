#[allow(clippy::unused_async, dead_code)]
impl Greeter {
    /// Says hello.
    pub async fn greet(&self, name: String) -> Result<String> {
        Ok(name)
    }
}
::core::compile_error! {
    "#[service_method] knows no `pubic`; did you mean `public`?"
}
