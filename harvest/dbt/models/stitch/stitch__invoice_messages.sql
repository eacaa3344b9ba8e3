{{ harvest.stitch('invoice_messages') }}
