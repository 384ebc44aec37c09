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
::p2p_runtime::__private::mocks! {
    #[doc =
    "Stands in for the service `greeter` ([`Greeter`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockGreeter { mock : ::p2p_runtime::__private::ServiceMock, }
}
const _: () = {
    use ::p2p_runtime::__private as __p;
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use __p::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: __p::LazyDescriptor = __p::LazyDescriptor::new(
        <Greeter as __p::Definition>::describe,
    );
    static __METHODS: [__p::MethodSpec; 1usize] = [
        __p::MethodSpec {
            service: __p::Cow::Borrowed("greeter"),
            name: __p::Cow::Borrowed("greet"),
            path: __p::Cow::Borrowed("greeter/greet"),
            index: 0usize,
            params: __p::Cow::Borrowed(
                &[
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("name"),
                    },
                ],
            ),
            access: __p::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: __p::ServiceSpec = __p::ServiceSpec {
        name: __p::Cow::Borrowed("greeter"),
        version: __p::Cow::Borrowed(::core::env!("CARGO_PKG_VERSION")),
        methods: __p::Cow::Borrowed(&__METHODS),
        roles: __p::Cow::Borrowed(&[]),
    };
    fn __params_of_greet() -> impl __p::ParamForms<(String,)> {
        (
            __p::WithDefault(
                (&__p::Probe::<String>::NEW).form(),
                ",\"name\":",
                <Greeter as __Defaults>::__default_greet_0,
                {
                    static __DEFAULT: __p::DefaultJson = __p::DefaultJson::new();
                    &__DEFAULT
                },
            ),
        )
    }
    trait __Defaults {
        fn __default_greet_0() -> String;
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl __Defaults for Greeter {
        fn __default_greet_0() -> String {
            ::std::string::String::from("Ada")
        }
    }
    #[allow(deprecated)]
    fn __serve_greet<'a>(
        __object: &'a Greeter,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (__value_0,) = __p::read(
                __params_of_greet(),
                __params,
                &__METHODS[0usize],
            )?;
            __p::encode_outcome::<
                Result<String>,
            >(
                (&__p::result_probe::<Result<String>>()).form(),
                __object.greet(__value_0).await,
            )
        })
    }
    #[automatically_derived]
    impl __p::Definition for Greeter {
        const SPEC: &'static __p::ServiceSpec = &__SERVICE;
        fn describe() -> __p::ServiceDescriptor {
            let mut __service = __p::Describe::new(&__SERVICE, "");
            __service.method::<Result<String>>(&__METHODS[0usize], "Says hello.");
            __service
                .param::<
                    String,
                >("name", __p::to_value(&<Greeter as __Defaults>::__default_greet_0()));
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a __p::CallContext,
            __params: __p::Params<'a>,
        ) -> __p::ServeFuture<'a> {
            match __index {
                0usize => __serve_greet(self, __cx, __params),
                _ => __p::no_such_method("greeter", __cx, __params),
            }
        }
    }
    __p::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockGreeter { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockGreeter { type Target = __p::ServiceMock; fn deref(&
        self) -> & Self::Target { & self.mock } } #[allow(unreachable_pub, dead_code,
        private_interfaces, private_bounds)] #[automatically_derived] impl MockGreeter {
        #[doc = r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock
        : __p::ServiceMock::new(& __SERVICE, "MockGreeter", &
        ["on_greet(|call, name| Ok(…))"]) } } #[doc =
        "Says what `greet` answers: the closure gets the call, then its params."] pub fn
        on_greet < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, String) -> __A + ::core::marker::Send +
        'static,) -> __p::Expectation where __A : __p::Answer:: < Result < String >, __M
        >, { self.mock.expect(0usize, move | __call, __params | { let (__value_0,) =
        __p::read(__params_of_greet(), __params, & __METHODS[0usize]) ?;
        ::core::result::Result::Ok(__p::Answer:: < Result < String >, __M >
        ::begin(__answer(__call, __value_0))) }) } }
    }
    #[automatically_derived]
    impl GreeterProxyExt for __p::Proxy {
        fn greeter(&self) -> GreeterProxy {
            GreeterProxy {
                core: __p::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl GreeterProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<__p::One>,
        ) -> GreeterProxy<__p::OnOne> {
            GreeterProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<__p::Many>,
        ) -> GreeterProxy<__p::OnMany> {
            GreeterProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: __p::TargetKind> GreeterProxy<__K> {
        /// Says hello.
        pub fn greet(
            &self,
            name: impl ::core::convert::Into<__p::String>,
        ) -> __K::Reply<
            <Result<String> as __p::Outcome>::Ok,
            <Result<String> as __p::Outcome>::Err,
        > {
            self.core
                .call::<
                    Greeter,
                    (String,),
                    Result<String>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (::core::convert::Into::into(name),),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_greet(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::result_probe::<Result<String>>()).form().decode(json)
                        },
                    },
                    |here: __p::Here<Greeter>, (__value_0,)| async move {
                        here.run::<Result<String>>(here.object().greet(__value_0)).await
                    },
                )
        }
    }
    #[automatically_derived]
    impl __p::Hosted<()> for Greeter {
        fn spec() -> &'static __p::ServiceSpec {
            &__SERVICE
        }
        fn host(self: ::std::sync::Arc<Self>) -> __p::Hosting {
            #[allow(
                unused_imports,
                reason = "one of the two is chosen by what the type implements"
            )]
            use __p::{ViaLifecycle as _, ViaNoLifecycle as _};
            let hosting = __p::Hosting::new(
                ::std::sync::Arc::new(
                    __p::Local::<Greeter>::new(::core::clone::Clone::clone(&self)),
                ),
            );
            let hosting = (&__p::LifecycleProbe(::core::clone::Clone::clone(&self)))
                .hooks(hosting);
            hosting
        }
    }
    __p::inventory::submit! {
        __p::ServiceEntry::new(::core::module_path!(), || & __SERVICE, & [], | cx |
        ::std::boxed::Box::pin(async move { let made = __p::made_once:: < Greeter > (cx,
        async move { let object : ::core::option::Option < ::std::sync::Arc < Greeter >>
        = { #[allow(unused_imports, reason =
        "one of the two is chosen by what the type implements")] use __p:: { ViaDefault
        as _, ViaNoDefault as _ }; let _ = cx; (& __p::DefaultProbe:: < Greeter >
        ::new()).make() }; ::core::result::Result::Ok(object) });
        ::core::result::Result::Ok(made. await ? .map(| made | made.hosted(< Greeter as
        __p::Hosted < () >> ::host))) }))
    }
};
::core::compile_error! {
    "#[service_method] knows no `pubic`; did you mean `public`?"
}
