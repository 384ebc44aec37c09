#[allow(clippy::unused_async)]
impl Kv for MemoryKv {
    async fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(None)
    }
    #[cfg(unix)]
    async fn put(&self, key: String, value: String) -> Result<(), Full> {
        Ok(())
    }
}
const _: () = {
    use ::p2p_runtime::__private as __p;
    /// Tells this contract's hosting from that of another contract on the same type.
    #[::core::prelude::v1::derive(::core::fmt::Debug)]
    pub struct __Marker;
    const _: () = ::core::assert!(
        __p::stays_within(< MemoryKv as Kv > ::__P2P_ACCESS, "get", &
        __p::Access::Nodes),
        "`get` is for more callers here than in the contract, whose word callers rely on; a host can only narrow it"
    );
    #[cfg(unix)]
    const _: () = ::core::assert!(
        __p::stays_within(< MemoryKv as Kv > ::__P2P_ACCESS, "put", &
        __p::Access::Scope(__p::Cow::Borrowed("kv:write"))),
        "`put` is for more callers here than in the contract, whose word callers rely on; a host can only narrow it"
    );
    #[automatically_derived]
    impl __p::Hosted<__Marker> for MemoryKv {
        fn spec() -> &'static __p::ServiceSpec {
            const __NARROWER: &[(&::core::primitive::str, __p::Access)] = &[
                ("get", __p::Access::Nodes),
                #[cfg(unix)]
                ("put", __p::Access::Scope(__p::Cow::Borrowed("kv:write"))),
            ];
            static __NARROWED: __p::Narrowed = __p::Narrowed::new();
            __NARROWED
                .of(
                    <MemoryKv as Kv>::__put_service_on_this_trait(),
                    <MemoryKv as Kv>::__P2P_ACCESS,
                    __NARROWER,
                )
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
        __p::ServiceEntry::new(::core::module_path!(), < MemoryKv as __p::Hosted <
        __Marker >> ::spec, & [], | cx | ::std::boxed::Box::pin(async move { let made =
        __p::made_once:: < MemoryKv > (cx, async move { let object :
        ::core::option::Option < ::std::sync::Arc < MemoryKv >> = {
        #[allow(unused_imports, reason =
        "one of the two is chosen by what the type implements")] use __p:: { ViaDefault
        as _, ViaNoDefault as _ }; let _ = cx; (& __p::DefaultProbe:: < MemoryKv >
        ::new()).make() }; ::core::result::Result::Ok(object) });
        ::core::result::Result::Ok(made. await ? .map(| made | made.hosted(< MemoryKv as
        __p::Hosted < __Marker >> ::host))) }))
    }
};
