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
    /// Tells this contract's hosting from that of another contract on the same type.
    pub struct __Marker;
    #[automatically_derived]
    impl<T: Store> crate::p2p::__private::Hosted<__Marker> for Cached<T>
    where
        T: Clone,
    {
        fn spec() -> &'static crate::p2p::__private::ServiceSpec {
            <Cached<T> as Kv>::__p2p_contract_spec()
        }
        fn host(self: ::std::sync::Arc<Self>) -> crate::p2p::__private::Hosting {
            #[allow(
                unused_imports,
                reason = "one of the two is chosen by what the type implements"
            )]
            use crate::p2p::__private::{ViaLifecycle as _, ViaNoLifecycle as _};
            let hosting = crate::p2p::__private::Hosting::new(
                <Cached<
                    T,
                > as Kv>::__p2p_contract_local(::core::clone::Clone::clone(&self)),
            );
            (&crate::p2p::__private::LifecycleProbe(self)).hooks(hosting)
        }
    }
};
