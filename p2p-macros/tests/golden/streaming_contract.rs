pub trait Feed: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn entries(
        &self,
        since: u64,
    ) -> impl ::core::future::Future<
        Output = Result<impl Stream<Item = Entry> + ::core::marker::Send>,
    > + ::core::marker::Send;
    #[doc(hidden)]
    fn __p2p_contract_spec() -> &'static ::p2p_client::__private::ServiceSpec
    where
        Self: ::core::marker::Sized,
    {
        <FeedProxy as ::p2p_client::__private::Contract<Self>>::spec()
    }
    #[doc(hidden)]
    fn __p2p_contract_local(
        self: ::std::sync::Arc<Self>,
    ) -> ::std::sync::Arc<dyn ::p2p_client::__private::HostedService>
    where
        Self: ::core::marker::Sized,
    {
        <FeedProxy as ::p2p_client::__private::Contract<Self>>::local(self)
    }
}
///Calls the service `feed` ([`Feed`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct FeedProxy<K = ::p2p_client::__private::Anywhere> {
    core: ::p2p_client::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`FeedProxy`].
#[allow(unreachable_pub)]
pub trait FeedProxyExt {
    ///Calls to the service `feed`.
    fn feed(&self) -> FeedProxy;
}
::p2p_client::__private::mocks! {
    #[doc =
    "Stands in for the service `feed` ([`Feed`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockFeed { mock : ::p2p_client::__private::ServiceMock, }
}
const _: () = {
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_client::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: ::p2p_client::__private::LazyDescriptor = ::p2p_client::__private::LazyDescriptor::new(
        <dyn __Object as ::p2p_client::__private::Definition>::describe,
    );
    static __METHODS: [::p2p_client::__private::MethodSpec; 1usize] = [
        ::p2p_client::__private::MethodSpec {
            service: ::p2p_client::__private::Cow::Borrowed("feed"),
            name: ::p2p_client::__private::Cow::Borrowed("entries"),
            path: ::p2p_client::__private::Cow::Borrowed("feed/entries"),
            index: 0usize,
            params: ::p2p_client::__private::Cow::Borrowed(
                &[
                    ::p2p_client::__private::ParamSpec {
                        name: ::p2p_client::__private::Cow::Borrowed("since"),
                    },
                ],
            ),
            access: ::p2p_client::__private::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: true,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: ::p2p_client::__private::ServiceSpec = ::p2p_client::__private::ServiceSpec {
        name: ::p2p_client::__private::Cow::Borrowed("feed"),
        version: ::p2p_client::__private::Cow::Borrowed("1.0.0"),
        methods: ::p2p_client::__private::Cow::Borrowed(&__METHODS),
        roles: ::p2p_client::__private::Cow::Borrowed(&[]),
    };
    pub trait __Object: ::core::marker::Send + ::core::marker::Sync + 'static {
        fn entries<'a>(
            &'a self,
            cx: &'a ::p2p_client::__private::CallContext,
            values: (u64,),
            items: &'a dyn ::p2p_client::__private::TakeItems<
                <Result<
                    ::p2p_client::__private::StreamOf<Entry>,
                > as ::p2p_client::__private::StreamOutcome<
                    ::p2p_client::__private::Values,
                >>::Value,
            >,
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = ::core::result::Result<
                        (),
                        ::p2p_client::__private::Failed<
                            <Result<
                                ::p2p_client::__private::StreamOf<Entry>,
                            > as ::p2p_client::__private::StreamOutcome<
                                ::p2p_client::__private::Values,
                            >>::Err,
                        >,
                    >,
                > + ::core::marker::Send + 'a,
            >,
        >;
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl<__Host: Feed> __Object for __Host {
        fn entries<'a>(
            &'a self,
            cx: &'a ::p2p_client::__private::CallContext,
            values: (u64,),
            items: &'a dyn ::p2p_client::__private::TakeItems<
                <Result<
                    ::p2p_client::__private::StreamOf<Entry>,
                > as ::p2p_client::__private::StreamOutcome<
                    ::p2p_client::__private::Values,
                >>::Value,
            >,
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = ::core::result::Result<
                        (),
                        ::p2p_client::__private::Failed<
                            <Result<
                                ::p2p_client::__private::StreamOf<Entry>,
                            > as ::p2p_client::__private::StreamOutcome<
                                ::p2p_client::__private::Values,
                            >>::Err,
                        >,
                    >,
                > + ::core::marker::Send + 'a,
            >,
        > {
            ::std::boxed::Box::pin(async move {
                let (__value_0,) = values;
                ::p2p_client::__private::feed::<
                    ::p2p_client::__private::Values,
                    _,
                >(cx, items, <__Host as Feed>::entries(self, __value_0))
                    .await
            })
        }
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl ::p2p_client::__private::Definition for dyn __Object {
        const SPEC: &'static ::p2p_client::__private::ServiceSpec = &__SERVICE;
        fn describe() -> ::p2p_client::__private::ServiceDescriptor {
            let mut __service = ::p2p_client::__private::Describe::new(&__SERVICE, "");
            __service
                .stream::<
                    ::p2p_client::__private::Values,
                    Result<::p2p_client::__private::StreamOf<Entry>>,
                >(&__METHODS[0usize], "");
            __service.param::<u64>("since", ::core::option::Option::None);
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a ::p2p_client::__private::CallContext,
            __params: ::p2p_client::__private::Params<'a>,
        ) -> ::p2p_client::__private::ServeFuture<'a> {
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
                                        (&::p2p_client::__private::Probe::<u64>::NEW).form(),
                                        ",\"since\":",
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
                        let __items = ::p2p_client::__private::json_items::<
                            ::p2p_client::__private::Values,
                            Result<::p2p_client::__private::StreamOf<Entry>>,
                            _,
                        >(
                            (&::p2p_client::__private::item_probe::<
                                ::p2p_client::__private::Values,
                                Result<::p2p_client::__private::StreamOf<Entry>>,
                            >())
                                .form(),
                            __cx,
                        )?;
                        ::p2p_client::__private::encode_end(
                            __Object::entries(__object, __cx, (__value_0,), &__items)
                                .await,
                        )
                    })
                }
                _ => ::p2p_client::__private::no_such_method("feed", __cx, __params),
            }
        }
    }
    ::p2p_client::__private::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockFeed { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockFeed { type Target =
        ::p2p_client::__private::ServiceMock; fn deref(& self) -> & Self::Target { & self
        .mock } } #[allow(unreachable_pub, dead_code, private_interfaces,
        private_bounds)] #[automatically_derived] impl MockFeed { #[doc =
        r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock :
        ::p2p_client::__private::ServiceMock::new(& __SERVICE, "MockFeed", &
        ["on_entries(|call, since| Ok(…))"]) } } }
    }
    #[automatically_derived]
    impl FeedProxyExt for ::p2p_client::__private::Proxy {
        fn feed(&self) -> FeedProxy {
            FeedProxy {
                core: ::p2p_client::__private::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl FeedProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<::p2p_client::__private::One>,
        ) -> FeedProxy<::p2p_client::__private::OnOne> {
            FeedProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<::p2p_client::__private::Many>,
        ) -> FeedProxy<::p2p_client::__private::OnMany> {
            FeedProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: ::p2p_client::__private::TargetKind> FeedProxy<__K> {
        pub fn entries(
            &self,
            since: u64,
        ) -> ::p2p_client::__private::Call<
            ::p2p_client::__private::Streaming<
                <Result<
                    ::p2p_client::__private::StreamOf<Entry>,
                > as ::p2p_client::__private::StreamOutcome<
                    ::p2p_client::__private::Values,
                >>::Value,
                <Result<
                    ::p2p_client::__private::StreamOf<Entry>,
                > as ::p2p_client::__private::StreamOutcome<
                    ::p2p_client::__private::Values,
                >>::Err,
            >,
            <Result<
                ::p2p_client::__private::StreamOf<Entry>,
            > as ::p2p_client::__private::StreamOutcome<
                ::p2p_client::__private::Values,
            >>::Err,
        >
        where
            __K: ::p2p_client::__private::OneTarget,
        {
            self.core
                .open::<
                    dyn __Object,
                    (u64,),
                    ::p2p_client::__private::Values,
                    Result<::p2p_client::__private::StreamOf<Entry>>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (since,),
                    ::p2p_client::__private::Codec {
                        encode: |params, out| {
                            out.field::<
                                    u64,
                                >(
                                (&::p2p_client::__private::Probe::<u64>::NEW).form(),
                                ",\"since\":",
                                &params.0,
                            )?;
                            ::core::result::Result::Ok(())
                        },
                        decode: |json| {
                            (&::p2p_client::__private::item_probe::<
                                ::p2p_client::__private::Values,
                                Result<::p2p_client::__private::StreamOf<Entry>>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_client::__private::Here<dyn __Object>, (__value_0,)| {
                        let (items, stream) = here
                            .stream::<
                                ::p2p_client::__private::Values,
                                Result<::p2p_client::__private::StreamOf<Entry>>,
                            >();
                        stream
                            .run(async move {
                                let cx = here.context();
                                here.run_stream(
                                        &cx,
                                        __Object::entries(here.object(), &cx, (__value_0,), &*items),
                                    )
                                    .await
                            })
                    },
                )
        }
    }
    #[automatically_derived]
    impl<__Host: Feed> ::p2p_client::__private::Contract<__Host> for FeedProxy {
        fn spec() -> &'static ::p2p_client::__private::ServiceSpec {
            &__SERVICE
        }
        fn local(
            host: ::std::sync::Arc<__Host>,
        ) -> ::std::sync::Arc<dyn ::p2p_client::__private::HostedService> {
            let object: ::std::sync::Arc<dyn __Object> = host;
            ::std::sync::Arc::new(
                ::p2p_client::__private::Local::<dyn __Object>::new(object),
            )
        }
    }
};
