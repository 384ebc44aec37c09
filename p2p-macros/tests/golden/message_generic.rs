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
    impl<T> ::p2p_client::__private::Message for Page<T>
    where
        T: ::p2p_client::__private::Message,
        Self: ::p2p_client::__private::Serialize
            + ::p2p_client::__private::DeserializeOwned,
    {
        fn write(
            &self,
            __out: &mut ::std::vec::Vec<u8>,
        ) -> ::p2p_client::__private::JsonResult<()> {
            let Self { items: __value_0, next: __value_1 } = self;
            __out.extend_from_slice(b"{\"items\":");
            (&::p2p_client::__private::Probe::<Vec<T>>::NEW)
                .form()
                .write(__value_0, __out)?;
            __out.extend_from_slice(b",\"next\":");
            (&::p2p_client::__private::Probe::<Option<Cursor>>::NEW)
                .form()
                .write(__value_1, __out)?;
            __out.push(b'}');
            ::core::result::Result::Ok(())
        }
        fn read(
            __reader: &mut ::p2p_client::__private::Reader<'_>,
        ) -> ::core::option::Option<Self> {
            __reader.open("{\"items\":")?;
            let __value_0: Vec<T> = (&::p2p_client::__private::Probe::<Vec<T>>::NEW)
                .form()
                .read(__reader)?;
            __reader.literal(",\"next\":")?;
            let __value_1: Option<Cursor> = (&::p2p_client::__private::Probe::<
                Option<Cursor>,
            >::NEW)
                .form()
                .read(__reader)?;
            __reader.close("}")?;
            ::core::option::Option::Some(Self {
                items: __value_0,
                next: __value_1,
            })
        }
    }
};
