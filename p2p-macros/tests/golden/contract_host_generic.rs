#[allow(clippy::unused_async)]
impl<T: Store> Kv for Cached<T>
where
    T: Clone,
{
    async fn get(&self, cx: &CallContext, key: &str) -> Result<Option<String>> {
        self.0.get(key)
    }
}
const _: () = {
    use crate::p2p::__private as __p;
    /// Tells this contract's hosting from that of another contract on the same type.
    #[::core::prelude::v1::derive(::core::fmt::Debug)]
    pub struct __Marker;
    #[automatically_derived]
    impl<T: Store> __p::Hosted<__Marker> for Cached<T>
    where
        T: Clone,
    {
        fn spec() -> &'static __p::ServiceSpec {
            <Cached<T> as Kv>::__put_service_on_this_trait()
        }
        fn host(self: ::std::sync::Arc<Self>) -> __p::Hosting {
            #[allow(
                unused_imports,
                reason = "one of the two is chosen by what the type implements"
            )]
            use __p::{ViaLifecycle as _, ViaNoLifecycle as _};
            let hosting = __p::Hosting::new(
                <Cached<
                    T,
                > as Kv>::__p2p_contract_local(
                    ::core::clone::Clone::clone(&self),
                    <Self as __p::Hosted<__Marker>>::spec(),
                ),
            );
            (&__p::LifecycleProbe(self)).hooks(hosting)
        }
    }
};
