#[allow(clippy::unused_async)]
/// Greets people.
impl Greeter {
    /// Makes it.
    pub async fn new(cx: &Context) -> Result<Self> {
        Ok(Self)
    }
    async fn initialize(&self, cx: &Context) -> Result<()> {
        Ok(())
    }
    async fn cleanup(&self) -> Result<()> {
        Ok(())
    }
    /// Says hello.
    pub async fn greet(
        &self,
        cx: &CallContext,
        name: String,
        r#loop: u32,
        title: Option<String>,
        ending: char,
        style: &str,
        guests: &[Guest],
        like: &Greeting,
    ) -> Result<Greeting> {
        Ok(like.clone())
    }
    async fn forget_all(&self) -> Result<u64, Forgotten> {
        Err(Forgotten)
    }
    async fn count(&self) -> Counted {
        Ok(0)
    }
    fn not_served(&self) {}
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
    static __METHODS: [__p::MethodSpec; 3usize] = [
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
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("times"),
                    },
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("title"),
                    },
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("ending"),
                    },
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("style"),
                    },
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("guests"),
                    },
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("like"),
                    },
                ],
            ),
            access: __p::Access::Public,
            idempotent: true,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::Some(
                ::core::time::Duration::from_millis(2000u64),
            ),
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        __p::MethodSpec {
            service: __p::Cow::Borrowed("greeter"),
            name: __p::Cow::Borrowed("wipe"),
            path: __p::Cow::Borrowed("greeter/wipe"),
            index: 1usize,
            params: __p::Cow::Borrowed(&[]),
            access: __p::Access::Scope(__p::Cow::Borrowed("greetings:write")),
            idempotent: false,
            read_only: false,
            detached: true,
            track_metrics: false,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        __p::MethodSpec {
            service: __p::Cow::Borrowed("greeter"),
            name: __p::Cow::Borrowed("count"),
            path: __p::Cow::Borrowed("greeter/count"),
            index: 2usize,
            params: __p::Cow::Borrowed(&[]),
            access: __p::Access::Role(__p::Role::Coordinator),
            idempotent: true,
            read_only: true,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: __p::ServiceSpec = __p::ServiceSpec {
        name: __p::Cow::Borrowed("greeter"),
        version: __p::Cow::Borrowed("1.2.3"),
        methods: __p::Cow::Borrowed(&__METHODS),
        roles: __p::Cow::Borrowed(&[__p::Role::Worker]),
    };
    fn __params_of_greet() -> impl __p::ParamForms<
        (
            String,
            u32,
            Option<String>,
            char,
            <str as __p::ToOwned>::Owned,
            <[Guest] as __p::ToOwned>::Owned,
            <Greeting as __p::ToOwned>::Owned,
        ),
    > {
        (
            __p::NoDefault((&__p::Probe::<String>::NEW).form(), ",\"name\":"),
            __p::NoDefault((&__p::Probe::<u32>::NEW).form(), ",\"times\":"),
            __p::NoDefault((&__p::Probe::<Option<String>>::NEW).form(), ",\"title\":"),
            __p::WithDefault(
                (&__p::Probe::<char>::NEW).form(),
                ",\"ending\":",
                <Greeter as __Defaults>::__default_greet_3,
                {
                    static __DEFAULT: __p::DefaultJson = __p::DefaultJson::new();
                    &__DEFAULT
                },
            ),
            __p::NoDefault(
                (&__p::Probe::<<str as __p::ToOwned>::Owned>::NEW).form(),
                ",\"style\":",
            ),
            __p::NoDefault(
                (&__p::Probe::<<[Guest] as __p::ToOwned>::Owned>::NEW).form(),
                ",\"guests\":",
            ),
            __p::NoDefault(
                (&__p::Probe::<<Greeting as __p::ToOwned>::Owned>::NEW).form(),
                ",\"like\":",
            ),
        )
    }
    trait __Defaults {
        fn __default_greet_3() -> char;
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl __Defaults for Greeter {
        fn __default_greet_3() -> char {
            '!'
        }
    }
    #[allow(deprecated)]
    fn __serve_greet<'a>(
        __object: &'a Greeter,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (
                __value_0,
                __value_1,
                __value_2,
                __value_3,
                __value_4,
                __value_5,
                __value_6,
            ) = __p::read(__params_of_greet(), __params, &__METHODS[0usize])?;
            __p::encode_outcome::<
                Result<Greeting>,
            >(
                (&__p::result_probe::<Result<Greeting>>()).form(),
                __object
                    .greet(
                        __cx,
                        __value_0,
                        __value_1,
                        __value_2,
                        __value_3,
                        <_ as __p::Borrow<str>>::borrow(&__value_4),
                        <_ as __p::Borrow<[Guest]>>::borrow(&__value_5),
                        <_ as __p::Borrow<Greeting>>::borrow(&__value_6),
                    )
                    .await,
            )
        })
    }
    #[allow(deprecated)]
    fn __serve_forget_all<'a>(
        __object: &'a Greeter,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let () = __p::read((), __params, &__METHODS[1usize])?;
            __p::encode_outcome::<
                Result<u64, Forgotten>,
            >(
                (&__p::result_probe::<Result<u64, Forgotten>>()).form(),
                __object.forget_all().await,
            )
        })
    }
    #[allow(deprecated)]
    fn __serve_count<'a>(
        __object: &'a Greeter,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let () = __p::read((), __params, &__METHODS[2usize])?;
            __p::encode_outcome::<
                Counted,
            >((&__p::result_probe::<Counted>()).form(), __object.count().await)
        })
    }
    #[automatically_derived]
    impl __p::Definition for Greeter {
        const SPEC: &'static __p::ServiceSpec = &__SERVICE;
        fn describe() -> __p::ServiceDescriptor {
            let mut __service = __p::Describe::new(&__SERVICE, "Greets people.");
            __service.method::<Result<Greeting>>(&__METHODS[0usize], "Says hello.");
            __service.param::<String>("name", ::core::option::Option::None);
            __service.param::<u32>("times", ::core::option::Option::None);
            __service.param::<Option<String>>("title", ::core::option::Option::None);
            __service
                .param::<
                    char,
                >(
                    "ending",
                    __p::to_value(&<Greeter as __Defaults>::__default_greet_3()),
                );
            __service
                .param::<
                    <str as __p::ToOwned>::Owned,
                >("style", ::core::option::Option::None);
            __service
                .param::<
                    <[Guest] as __p::ToOwned>::Owned,
                >("guests", ::core::option::Option::None);
            __service
                .param::<
                    <Greeting as __p::ToOwned>::Owned,
                >("like", ::core::option::Option::None);
            __service.method::<Result<u64, Forgotten>>(&__METHODS[1usize], "");
            __service.method::<Counted>(&__METHODS[2usize], "");
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
                1usize => __serve_forget_all(self, __cx, __params),
                2usize => __serve_count(self, __cx, __params),
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
        ["on_greet(|call, name, r#loop, title, ending, style, guests, like| Ok(…))",
        "on_forget_all(|call| Ok(…))", "on_count(|call| Ok(…))"]) } } #[doc =
        "Says what `greet` answers: the closure gets the call, then its params."] pub fn
        on_greet < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, String, u32, Option < String >, char, < str as
        __p::ToOwned > ::Owned, < [Guest] as __p::ToOwned > ::Owned, < Greeting as
        __p::ToOwned > ::Owned) -> __A + ::core::marker::Send + 'static,) ->
        __p::Expectation where __A : __p::Answer:: < Result < Greeting >, __M >, { self
        .mock.expect(0usize, move | __call, __params | { let (__value_0, __value_1,
        __value_2, __value_3, __value_4, __value_5, __value_6,) =
        __p::read(__params_of_greet(), __params, & __METHODS[0usize]) ?;
        ::core::result::Result::Ok(__p::Answer:: < Result < Greeting >, __M >
        ::begin(__answer(__call, __value_0, __value_1, __value_2, __value_3, __value_4,
        __value_5, __value_6))) }) } #[doc =
        "Says what `forget_all` answers: the closure gets the call, then its params."]
        pub fn on_forget_all < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall,) -> __A + ::core::marker::Send + 'static,) ->
        __p::Expectation where __A : __p::Answer:: < Result < u64, Forgotten >, __M >, {
        self.mock.expect(1usize, move | __call, __params | { let () = __p::read((),
        __params, & __METHODS[1usize]) ?; ::core::result::Result::Ok(__p::Answer:: <
        Result < u64, Forgotten >, __M > ::begin(__answer(__call,))) }) } #[doc =
        "Says what `count` answers: the closure gets the call, then its params."] pub fn
        on_count < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall,) -> __A + ::core::marker::Send + 'static,) ->
        __p::Expectation where __A : __p::Answer:: < Counted, __M >, { self.mock
        .expect(2usize, move | __call, __params | { let () = __p::read((), __params, &
        __METHODS[2usize]) ?; ::core::result::Result::Ok(__p::Answer:: < Counted, __M >
        ::begin(__answer(__call,))) }) } }
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
            r#loop: u32,
            title: Option<String>,
            ending: char,
            style: &str,
            guests: &[Guest],
            like: &Greeting,
        ) -> __K::Reply<
            <Result<Greeting> as __p::Outcome>::Ok,
            <Result<Greeting> as __p::Outcome>::Err,
        > {
            self.core
                .call::<
                    Greeter,
                    (
                        String,
                        u32,
                        Option<String>,
                        char,
                        <str as __p::ToOwned>::Owned,
                        <[Guest] as __p::ToOwned>::Owned,
                        <Greeting as __p::ToOwned>::Owned,
                    ),
                    Result<Greeting>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (
                        ::core::convert::Into::into(name),
                        r#loop,
                        title,
                        ending,
                        <str as __p::ToOwned>::to_owned(style),
                        <[Guest] as __p::ToOwned>::to_owned(guests),
                        <Greeting as __p::ToOwned>::to_owned(like),
                    ),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_greet(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::result_probe::<Result<Greeting>>())
                                .form()
                                .decode(json)
                        },
                    },
                    |
                        here: __p::Here<Greeter>,
                        (
                            __value_0,
                            __value_1,
                            __value_2,
                            __value_3,
                            __value_4,
                            __value_5,
                            __value_6,
                        )|
                    async move {
                        let cx = here.context();
                        here.run_with::<
                                Result<Greeting>,
                            >(
                                &cx,
                                here
                                    .object()
                                    .greet(
                                        &cx,
                                        __value_0,
                                        __value_1,
                                        __value_2,
                                        __value_3,
                                        <_ as __p::Borrow<str>>::borrow(&__value_4),
                                        <_ as __p::Borrow<[Guest]>>::borrow(&__value_5),
                                        <_ as __p::Borrow<Greeting>>::borrow(&__value_6),
                                    ),
                            )
                            .await
                    },
                )
        }
        pub fn forget_all(
            &self,
        ) -> __K::Reply<
            <Result<u64, Forgotten> as __p::Outcome>::Ok,
            <Result<u64, Forgotten> as __p::Outcome>::Err,
        > {
            self.core
                .call::<
                    Greeter,
                    (),
                    Result<u64, Forgotten>,
                    _,
                    _,
                >(
                    &__METHODS[1usize],
                    (),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write((), params, out),
                        decode: |json| {
                            (&__p::result_probe::<Result<u64, Forgotten>>())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: __p::Here<Greeter>, ()| async move {
                        here.run::<Result<u64, Forgotten>>(here.object().forget_all())
                            .await
                    },
                )
        }
        pub fn count(
            &self,
        ) -> __K::Reply<<Counted as __p::Outcome>::Ok, <Counted as __p::Outcome>::Err> {
            self.core
                .call::<
                    Greeter,
                    (),
                    Counted,
                    _,
                    _,
                >(
                    &__METHODS[2usize],
                    (),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write((), params, out),
                        decode: |json| {
                            (&__p::result_probe::<Counted>()).form().decode(json)
                        },
                    },
                    |here: __p::Here<Greeter>, ()| async move {
                        here.run::<Counted>(here.object().count()).await
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
            let object = ::core::clone::Clone::clone(&self);
            let hosting = hosting
                .initialize(move |cx: __p::Context| {
                    let object = ::core::clone::Clone::clone(&object);
                    ::std::boxed::Box::pin(async move {
                        __p::HookOutcome::settled(object.initialize(&cx).await)
                    })
                });
            let object = ::core::clone::Clone::clone(&self);
            let hosting = hosting
                .cleanup(move |_: __p::Context| {
                    let object = ::core::clone::Clone::clone(&object);
                    ::std::boxed::Box::pin(async move {
                        __p::HookOutcome::settled(object.cleanup().await)
                    })
                });
            hosting
        }
    }
    __p::inventory::submit! {
        __p::ServiceEntry::new(::core::module_path!(), || & __SERVICE, & [], | cx |
        ::std::boxed::Box::pin(async move { let made = __p::made_once:: < Greeter > (cx,
        async move { let object : ::core::option::Option < ::std::sync::Arc < Greeter >>
        = ::core::option::Option::Some(::std::sync::Arc:: < Greeter >
        ::new(__p::ConstructorOutcome:: < Greeter > ::settled(< Greeter > ::new(cx).
        await) ?)); ::core::result::Result::Ok(object) });
        ::core::result::Result::Ok(made. await ? .map(| made | made.hosted(< Greeter as
        __p::Hosted < () >> ::host))) }))
    }
};
