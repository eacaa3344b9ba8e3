{{ harvest.stitch('invoice_payments') }}
