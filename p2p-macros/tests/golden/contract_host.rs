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
    use ::p2p_services::__private as __p;
    /// Tells this contract's hosting from that of another contract on the same type.
    #[::core::prelude::v1::derive(::core::fmt::Debug)]
    pub struct __Marker;
    #[automatically_derived]
    impl __p::Hosted<__Marker> for MemoryKv {
        fn spec() -> &'static __p::ServiceSpec {
            <MemoryKv as Kv>::__put_service_on_this_trait()
        }
        fn host(self: ::std::sync::Arc<Self>) -> __p::Hosting {
            #[allow(
                unused_imports,
                reason = "one of the two is chosen by what the type implements"
            )]
            use __p::{ViaLifecycle as _, ViaNoLifecycle as _};
            let hosting = __p::Hosting::new(
                <MemoryKv as Kv>::__p2p_contract_local(
                    ::core::clone::Clone::clone(&self),
                    <Self as __p::Hosted<__Marker>>::spec(),
                ),
            );
            (&__p::LifecycleProbe(self)).hooks(hosting)
        }
    }
    __p::inventory::submit! {
        __p::ServiceEntry::new(::core::module_path!(), < MemoryKv as Kv >
        ::__put_service_on_this_trait, & [__p::Role::Coordinator, __p::Role::Worker], |
        cx | ::std::boxed::Box::pin(async move { let made = __p::made_once:: < MemoryKv >
        (cx, async move { let object : ::core::option::Option < ::std::sync::Arc <
        MemoryKv >> = ::core::option::Option::Some(::std::sync::Arc:: < MemoryKv >
        ::new(__p::ConstructorOutcome:: < MemoryKv > ::settled(connect(cx). await) ?));
        ::core::result::Result::Ok(object) }); ::core::result::Result::Ok(made. await ?
        .map(| made | made.hosted(< MemoryKv as __p::Hosted < __Marker >> ::host))) }))
    }
};
