#[allow(clippy::unused_async)]
impl Counter {
    /// Counts up from a number.
    pub async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>> {
        Ok(stream::iter(from..))
    }
    async fn watch(
        &self,
        cx: &CallContext,
        name: &str,
    ) -> Result<impl Stream<Item = Result<Event, Gone>> + use<'_>, Gone> {
        self.events.watch(name)
    }
}
///Calls the service `counter` ([`Counter`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct CounterProxy<K = ::p2p_runtime::__private::Anywhere> {
    core: ::p2p_runtime::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`CounterProxy`].
#[allow(unreachable_pub)]
pub trait CounterProxyExt {
    ///Calls to the service `counter`.
    fn counter(&self) -> CounterProxy;
}
::p2p_runtime::__private::mocks! {
    #[doc =
    "Stands in for the service `counter` ([`Counter`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockCounter { mock : ::p2p_runtime::__private::ServiceMock, }
}
const _: () = {
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_runtime::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: ::p2p_runtime::__private::LazyDescriptor = ::p2p_runtime::__private::LazyDescriptor::new(
        <Counter as ::p2p_runtime::__private::Definition>::describe,
    );
    static __METHODS: [::p2p_runtime::__private::MethodSpec; 2usize] = [
        ::p2p_runtime::__private::MethodSpec {
            service: ::p2p_runtime::__private::Cow::Borrowed("counter"),
            name: ::p2p_runtime::__private::Cow::Borrowed("count"),
            path: ::p2p_runtime::__private::Cow::Borrowed("counter/count"),
            index: 0usize,
            params: ::p2p_runtime::__private::Cow::Borrowed(
                &[
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("from"),
                    },
                ],
            ),
            access: ::p2p_runtime::__private::Access::Nodes,
            idempotent: true,
            read_only: true,
            detached: false,
            track_metrics: true,
            streams: true,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        ::p2p_runtime::__private::MethodSpec {
            service: ::p2p_runtime::__private::Cow::Borrowed("counter"),
            name: ::p2p_runtime::__private::Cow::Borrowed("watch"),
            path: ::p2p_runtime::__private::Cow::Borrowed("counter/watch"),
            index: 1usize,
            params: ::p2p_runtime::__private::Cow::Borrowed(
                &[
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("name"),
                    },
                ],
            ),
            access: ::p2p_runtime::__private::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: true,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: ::p2p_runtime::__private::ServiceSpec = ::p2p_runtime::__private::ServiceSpec {
        name: ::p2p_runtime::__private::Cow::Borrowed("counter"),
        version: ::p2p_runtime::__private::Cow::Borrowed(
            ::core::env!("CARGO_PKG_VERSION"),
        ),
        methods: ::p2p_runtime::__private::Cow::Borrowed(&__METHODS),
        roles: ::p2p_runtime::__private::Cow::Borrowed(&[]),
    };
    #[allow(deprecated)]
    #[automatically_derived]
    impl ::p2p_runtime::__private::Definition for Counter {
        const SPEC: &'static ::p2p_runtime::__private::ServiceSpec = &__SERVICE;
        fn describe() -> ::p2p_runtime::__private::ServiceDescriptor {
            let mut __service = ::p2p_runtime::__private::Describe::new(&__SERVICE, "");
            __service
                .stream::<
                    ::p2p_runtime::__private::Values,
                    Result<::p2p_runtime::__private::StreamOf<u64>>,
                >(&__METHODS[0usize], "Counts up from a number.");
            __service.param::<u64>("from", ::core::option::Option::None);
            __service
                .stream::<
                    ::p2p_runtime::__private::Results,
                    Result<::p2p_runtime::__private::StreamOf<Result<Event, Gone>>, Gone>,
                >(&__METHODS[1usize], "");
            __service
                .param::<
                    <str as ::p2p_runtime::__private::ToOwned>::Owned,
                >("name", ::core::option::Option::None);
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a ::p2p_runtime::__private::CallContext,
            __params: ::p2p_runtime::__private::Params<'a>,
        ) -> ::p2p_runtime::__private::ServeFuture<'a> {
            let __object = self;
            match __index {
                0usize => {
                    ::std::boxed::Box::pin(async move {
                        let (__value_0,) = match __params
                            .straight(|__params| ::core::option::Option::Some((
                                __params
                                    .take::<
                                        u64,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<u64>::NEW).form(),
                                        ",\"from\":",
                                    )?,
                            )))
                        {
                            ::core::option::Option::Some(__values) => __values,
                            ::core::option::Option::None => {
                                let mut __slots = __params
                                    .split(&__METHODS[0usize].params)?;
                                (__slots.take::<u64>(0usize)?,)
                            }
                        };
                        let __items = ::p2p_runtime::__private::json_items::<
                            ::p2p_runtime::__private::Values,
                            Result<::p2p_runtime::__private::StreamOf<u64>>,
                            _,
                        >(
                            (&::p2p_runtime::__private::item_probe::<
                                ::p2p_runtime::__private::Values,
                                Result<::p2p_runtime::__private::StreamOf<u64>>,
                            >())
                                .form(),
                            __cx,
                        )?;
                        ::p2p_runtime::__private::encode_end(
                            ::p2p_runtime::__private::feed::<
                                ::p2p_runtime::__private::Values,
                                _,
                            >(__cx, &__items, __object.count(__value_0))
                                .await,
                        )
                    })
                }
                1usize => {
                    ::std::boxed::Box::pin(async move {
                        let (__value_0,) = match __params
                            .straight(|__params| ::core::option::Option::Some((
                                __params
                                    .take::<
                                        <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<
                                            <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >::NEW)
                                            .form(),
                                        ",\"name\":",
                                    )?,
                            )))
                        {
                            ::core::option::Option::Some(__values) => __values,
                            ::core::option::Option::None => {
                                let mut __slots = __params
                                    .split(&__METHODS[1usize].params)?;
                                (
                                    __slots
                                        .take::<
                                            <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >(0usize)?,
                                )
                            }
                        };
                        let __items = ::p2p_runtime::__private::json_items::<
                            ::p2p_runtime::__private::Results,
                            Result<
                                ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                                Gone,
                            >,
                            _,
                        >(
                            (&::p2p_runtime::__private::item_probe::<
                                ::p2p_runtime::__private::Results,
                                Result<
                                    ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                                    Gone,
                                >,
                            >())
                                .form(),
                            __cx,
                        )?;
                        ::p2p_runtime::__private::encode_end(
                            ::p2p_runtime::__private::feed::<
                                ::p2p_runtime::__private::Results,
                                _,
                            >(
                                    __cx,
                                    &__items,
                                    __object
                                        .watch(
                                            __cx,
                                            <_ as ::p2p_runtime::__private::Borrow<
                                                str,
                                            >>::borrow(&__value_0),
                                        ),
                                )
                                .await,
                        )
                    })
                }
                _ => ::p2p_runtime::__private::no_such_method("counter", __cx, __params),
            }
        }
    }
    ::p2p_runtime::__private::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockCounter { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockCounter { type Target =
        ::p2p_runtime::__private::ServiceMock; fn deref(& self) -> & Self::Target { &
        self.mock } } #[allow(unreachable_pub, dead_code, private_interfaces,
        private_bounds)] #[automatically_derived] impl MockCounter { #[doc =
        r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock :
        ::p2p_runtime::__private::ServiceMock::new(& __SERVICE, "MockCounter", &
        ["on_count(|call, from| Ok(…))", "on_watch(|call, name| Ok(…))"]) } } }
    }
    #[automatically_derived]
    impl CounterProxyExt for ::p2p_runtime::__private::Proxy {
        fn counter(&self) -> CounterProxy {
            CounterProxy {
                core: ::p2p_runtime::__private::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl CounterProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<::p2p_runtime::__private::One>,
        ) -> CounterProxy<::p2p_runtime::__private::OnOne> {
            CounterProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<::p2p_runtime::__private::Many>,
        ) -> CounterProxy<::p2p_runtime::__private::OnMany> {
            CounterProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: ::p2p_runtime::__private::TargetKind> CounterProxy<__K> {
        /// Counts up from a number.
        pub fn count(
            &self,
            from: u64,
        ) -> ::p2p_runtime::__private::Call<
            ::p2p_runtime::__private::Streaming<
                <Result<
                    ::p2p_runtime::__private::StreamOf<u64>,
                > as ::p2p_runtime::__private::StreamOutcome<
                    ::p2p_runtime::__private::Values,
                >>::Value,
                <Result<
                    ::p2p_runtime::__private::StreamOf<u64>,
                > as ::p2p_runtime::__private::StreamOutcome<
                    ::p2p_runtime::__private::Values,
                >>::Err,
            >,
            <Result<
                ::p2p_runtime::__private::StreamOf<u64>,
            > as ::p2p_runtime::__private::StreamOutcome<
                ::p2p_runtime::__private::Values,
            >>::Err,
        >
        where
            __K: ::p2p_runtime::__private::OneTarget,
        {
            self.core
                .open::<
                    Counter,
                    (u64,),
                    ::p2p_runtime::__private::Values,
                    Result<::p2p_runtime::__private::StreamOf<u64>>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (from,),
                    ::p2p_runtime::__private::Codec {
                        encode: |params, out| {
                            out.field::<
                                    u64,
                                >(
                                (&::p2p_runtime::__private::Probe::<u64>::NEW).form(),
                                ",\"from\":",
                                &params.0,
                            )?;
                            ::core::result::Result::Ok(())
                        },
                        decode: |json| {
                            (&::p2p_runtime::__private::item_probe::<
                                ::p2p_runtime::__private::Values,
                                Result<::p2p_runtime::__private::StreamOf<u64>>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_runtime::__private::Here<Counter>, (__value_0,)| {
                        let (items, stream) = here
                            .stream::<
                                ::p2p_runtime::__private::Values,
                                Result<::p2p_runtime::__private::StreamOf<u64>>,
                            >();
                        stream
                            .run(async move {
                                let cx = here.context();
                                here.run_stream(
                                        &cx,
                                        ::p2p_runtime::__private::feed::<
                                            ::p2p_runtime::__private::Values,
                                            _,
                                        >(&cx, &*items, here.object().count(__value_0)),
                                    )
                                    .await
                            })
                    },
                )
        }
        pub fn watch(
            &self,
            name: &str,
        ) -> ::p2p_runtime::__private::Call<
            ::p2p_runtime::__private::Streaming<
                <Result<
                    ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                    Gone,
                > as ::p2p_runtime::__private::StreamOutcome<
                    ::p2p_runtime::__private::Results,
                >>::Value,
                <Result<
                    ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                    Gone,
                > as ::p2p_runtime::__private::StreamOutcome<
                    ::p2p_runtime::__private::Results,
                >>::Err,
            >,
            <Result<
                ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                Gone,
            > as ::p2p_runtime::__private::StreamOutcome<
                ::p2p_runtime::__private::Results,
            >>::Err,
        >
        where
            __K: ::p2p_runtime::__private::OneTarget,
        {
            self.core
                .open::<
                    Counter,
                    (<str as ::p2p_runtime::__private::ToOwned>::Owned,),
                    ::p2p_runtime::__private::Results,
                    Result<
                        ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                        Gone,
                    >,
                    _,
                    _,
                >(
                    &__METHODS[1usize],
                    (<str as ::p2p_runtime::__private::ToOwned>::to_owned(name),),
                    ::p2p_runtime::__private::Codec {
                        encode: |params, out| {
                            out.field::<
                                    <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                >(
                                (&::p2p_runtime::__private::Probe::<
                                    <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                >::NEW)
                                    .form(),
                                ",\"name\":",
                                &params.0,
                            )?;
                            ::core::result::Result::Ok(())
                        },
                        decode: |json| {
                            (&::p2p_runtime::__private::item_probe::<
                                ::p2p_runtime::__private::Results,
                                Result<
                                    ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                                    Gone,
                                >,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_runtime::__private::Here<Counter>, (__value_0,)| {
                        let (items, stream) = here
                            .stream::<
                                ::p2p_runtime::__private::Results,
                                Result<
                                    ::p2p_runtime::__private::StreamOf<Result<Event, Gone>>,
                                    Gone,
                                >,
                            >();
                        stream
                            .run(async move {
                                let cx = here.context();
                                here.run_stream(
                                        &cx,
                                        ::p2p_runtime::__private::feed::<
                                            ::p2p_runtime::__private::Results,
                                            _,
                                        >(
                                            &cx,
                                            &*items,
                                            here
                                                .object()
                                                .watch(
                                                    &cx,
                                                    <_ as ::p2p_runtime::__private::Borrow<
                                                        str,
                                                    >>::borrow(&__value_0),
                                                ),
                                        ),
                                    )
                                    .await
                            })
                    },
                )
        }
    }
    #[automatically_derived]
    impl ::p2p_runtime::__private::Hosted<()> for Counter {
        fn spec() -> &'static ::p2p_runtime::__private::ServiceSpec {
            &__SERVICE
        }
        fn host(self: ::std::sync::Arc<Self>) -> ::p2p_runtime::__private::Hosting {
            let hosting = ::p2p_runtime::__private::Hosting::new(
                ::std::sync::Arc::new(
                    ::p2p_runtime::__private::Local::<
                        Counter,
                    >::new(::core::clone::Clone::clone(&self)),
                ),
            );
            hosting
        }
    }
    ::p2p_runtime::__private::inventory::submit! {
        ::p2p_runtime::__private::ServiceEntry::new(::core::module_path!(), || &
        __SERVICE, & [], | cx | ::std::boxed::Box::pin(async move { let object :
        ::core::option::Option < ::std::sync::Arc < Counter >> = {
        #[allow(unused_imports, reason =
        "one of the two is chosen by what the type implements")] use
        ::p2p_runtime::__private:: { ViaDefault as _, ViaNoDefault as _ }; let _ = cx; (&
        ::p2p_runtime::__private::DefaultProbe:: < Counter > ::new()).make() };
        ::core::result::Result::Ok(object.map(< Counter as
        ::p2p_runtime::__private::Hosted < () >> ::host)) }))
    }
};
