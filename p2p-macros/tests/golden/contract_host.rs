#[allow(clippy::unused_async)]
impl Kv for MemoryKv {
    async fn get(&self, cx: &CallContext, key: &str) -> Result<Option<String>> {
        Ok(self.0.lock().get(key).cloned())
    }
    async fn put(&self, key: String, value: String) -> Result<(), Full> {
        Ok(())
    }
}
const _: () = {
    /// Tells this contract's hosting from that of another contract on the same type.
    pub struct __Marker;
    #[automatically_derived]
    impl ::p2p_services::__private::Hosted<__Marker> for MemoryKv {
        fn spec() -> &'static ::p2p_services::__private::ServiceSpec {
            <MemoryKv as Kv>::__p2p_contract_spec()
        }
        fn host(self: ::std::sync::Arc<Self>) -> ::p2p_services::__private::Hosting {
            #[allow(
                unused_imports,
                reason = "one of the two is chosen by what the type implements"
            )]
            use ::p2p_services::__private::{ViaLifecycle as _, ViaNoLifecycle as _};
            let hosting = ::p2p_services::__private::Hosting::new(
                <MemoryKv as Kv>::__p2p_contract_local(
                    ::core::clone::Clone::clone(&self),
                ),
            );
            (&::p2p_services::__private::LifecycleProbe(self)).hooks(hosting)
        }
    }
    ::p2p_services::__private::inventory::submit! {
        ::p2p_services::__private::ServiceEntry::new(::core::module_path!(), < MemoryKv
        as Kv > ::__p2p_contract_spec, & [::p2p_services::__private::Role::Coordinator,
        ::p2p_services::__private::Role::Worker], | cx | ::std::boxed::Box::pin(async
        move { let object : ::core::option::Option < ::std::sync::Arc < MemoryKv >> =
        ::core::option::Option::Some(::std::sync::Arc:: < MemoryKv > ::new(connect(cx).
        await ?)); ::core::result::Result::Ok(object.map(< MemoryKv as
        ::p2p_services::__private::Hosted < __Marker >> ::host)) }))
    }
};
