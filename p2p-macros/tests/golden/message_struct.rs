const _: () = {
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_client::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    #[allow(
        deprecated,
        unreachable_code,
        unused_variables,
        clippy::all,
        clippy::pedantic
    )]
    #[automatically_derived]
    impl ::p2p_client::__private::Message for Greeting {
        fn write(
            &self,
            __out: &mut ::std::vec::Vec<u8>,
        ) -> ::p2p_client::__private::JsonResult<()> {
            let Self {
                text: __value_0,
                said_by: __value_1,
                times: __value_2,
                cached: _,
                parts: __value_4,
            } = self;
            __out.extend_from_slice(b"{\"text\":");
            (&::p2p_client::__private::Probe::<String>::NEW)
                .form()
                .write(__value_0, __out)?;
            if !Option::is_none(__value_1) {
                __out.extend_from_slice(b",\"saidBy\":");
                (&::p2p_client::__private::Probe::<Option<NodeId>>::NEW)
                    .form()
                    .write(__value_1, __out)?;
            }
            __out.extend_from_slice(b",\"times\":");
            (&::p2p_client::__private::Probe::<u32>::NEW)
                .form()
                .write(__value_2, __out)?;
            __out.extend_from_slice(b",\"parts\":");
            (&::p2p_client::__private::Probe::<Vec<Part>>::NEW)
                .form()
                .write(__value_4, __out)?;
            __out.push(b'}');
            ::core::result::Result::Ok(())
        }
        fn read(
            __reader: &mut ::p2p_client::__private::Reader<'_>,
        ) -> ::core::option::Option<Self> {
            __reader.open("{\"text\":")?;
            let __value_0: String = (&::p2p_client::__private::Probe::<String>::NEW)
                .form()
                .read(__reader)?;
            let __value_1: Option<NodeId> = if __reader.accept(",\"saidBy\":") {
                (&::p2p_client::__private::Probe::<Option<NodeId>>::NEW)
                    .form()
                    .read(__reader)?
            } else {
                ::core::default::Default::default()
            };
            let __value_2: u32 = if __reader.accept(",\"times\":") {
                (&::p2p_client::__private::Probe::<u32>::NEW).form().read(__reader)?
            } else {
                once()
            };
            let __value_3: bool = ::core::default::Default::default();
            __reader.literal(",\"parts\":")?;
            let __value_4: Vec<Part> = (&::p2p_client::__private::Probe::<
                Vec<Part>,
            >::NEW)
                .form()
                .read(__reader)?;
            __reader.close("}")?;
            ::core::option::Option::Some(Self {
                text: __value_0,
                said_by: __value_1,
                times: __value_2,
                cached: __value_3,
                parts: __value_4,
            })
        }
    }
};
