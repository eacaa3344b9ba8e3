{{ harvest.stitch('invoices') }}
