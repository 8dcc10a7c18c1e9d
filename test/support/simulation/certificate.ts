import { getCACertificates, setDefaultCACertificates } from 'node:tls'

// A key and a certificate that nobody else trusts, for example.net and *.example.net, valid from 2020 to 2119.
export const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPiknSjZazTslZli6
dOpvMc41/CbXJP8AoaXzmD12WmuhRANCAARx+cIhXORi1mzWhpkYvQRmTscAtYDK
6P1SbGXRKP71jditf/RhjabPP6gtgvN6KveFU4vJbp4hz0kZa5yn72W/
-----END PRIVATE KEY-----
`
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgzCCASqgAwIBAgIBATAKBggqhkjOPQQDAjAdMRswGQYDVQQDDBJBcXVpZmVy
IHNpbXVsYXRpb24wIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMB0x
GzAZBgNVBAMMEkFxdWlmZXIgc2ltdWxhdGlvbjBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABHH5wiFc5GLWbNaGmRi9BGZOxwC1gMro/VJsZdEo/vWN2K1/9GGNps8/
qC2C83oq94VTi8luniHPSRlrnKfvZb+jWTBXMA8GA1UdEwEB/wQFMAMBAf8wJQYD
VR0RBB4wHIILZXhhbXBsZS5uZXSCDSouZXhhbXBsZS5uZXQwHQYDVR0OBBYEFE+9
X1bAtLYptDlzmJ2qz8sc58uGMAoGCCqGSM49BAMCA0cAMEQCIBBScwoLK05VLxYo
zdtnYgOYTl7gRjATmzwqGZjFWeOjAiA/iJA+zfny69UUe47vvcBcr6JFQxWw5hDy
yB8IOUD0fA==
-----END CERTIFICATE-----
`

let trusted = false

/** Trusts the certificate for the rest of the process. */
export function trustCertificate(): void {
  if (trusted) return
  trusted = true
  setDefaultCACertificates([...getCACertificates('default'), CERTIFICATE])
}
