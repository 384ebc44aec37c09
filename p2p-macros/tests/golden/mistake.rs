#[allow(clippy::unused_async, dead_code)]
impl Greeter {
    /// Says hello.
    pub async fn greet(&self, name: String) -> Result<String> {
        Ok(name)
    }
}
///Calls the service `greeter` ([`Greeter`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct GreeterProxy<K = ::p2p_runtime::__private::Anywhere> {
    core: ::p2p_runtime::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`GreeterProxy`].
#[allow(unreachable_pub)]
pub trait GreeterProxyExt {
    ///Calls to the service `greeter`.
    fn greeter(&self) -> GreeterProxy;
}
#[automatically_derived]
impl GreeterProxyExt for ::p2p_runtime::__private::Proxy {
    fn greeter(&self) -> GreeterProxy {
        GreeterProxy {
            core: ::p2p_runtime::__private::ProxyCore::new(self),
        }
    }
}
#[allow(unreachable_pub)]
#[automatically_derived]
impl GreeterProxy {
    /// The same service on one node of choice: a node id, a role, a capability.
    pub fn on(
        &self,
        target: impl ::core::convert::Into<::p2p_runtime::__private::One>,
    ) -> GreeterProxy<::p2p_runtime::__private::OnOne> {
        GreeterProxy {
            core: self.core.on(target),
        }
    }
    /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
    pub fn on_all(
        &self,
        target: impl ::core::convert::Into<::p2p_runtime::__private::Many>,
    ) -> GreeterProxy<::p2p_runtime::__private::OnMany> {
        GreeterProxy {
            core: self.core.on_all(target),
        }
    }
}
::core::compile_error! {
    "#[service_method] knows no `pubic`; did you mean `public`?"
}
