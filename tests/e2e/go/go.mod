module weft.test/relay

go 1.21
