// SPDX-License-Identifier: Apache-2.0
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Runai.GpuMemory.EngineTests;

/// <summary>An authority, dockerd's certificate for 127.0.0.1, and those of callers, as PEM files that <c>docker</c>
/// and <c>dockerd</c> take.</summary>
sealed class ClientCertificates : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("gpu-tls-").FullName;
    readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    readonly X509Certificate2 _authority;
    int _made;

    public ClientCertificates()
    {
        var request = new CertificateRequest("CN=authority", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        _authority = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(8));
        Make(Path.Combine(_folder, "server"), "gpu1", "1.3.6.1.5.5.7.3.1");
    }

    /// <summary>dockerd's.</summary>
    public string[] Flags =>
        ["--tlsverify", .. Pem("--tlscacert", "ca"), .. Pem("--tlscert", "cert"), .. Pem("--tlskey", "key")];

    string[] Pem(string flag, string name) => [flag, Path.Combine(_folder, "server", name + ".pem")];

    /// <summary>A folder for <c>DOCKER_CERT_PATH</c>.</summary>
    /// <param name="name">The common name; null: a certificate without one.</param>
    public string Of(string? name)
    {
        var folder = Path.Combine(_folder, $"{_made++}");
        Make(folder, name, "1.3.6.1.5.5.7.3.2");
        return folder;
    }

    void Make(string folder, string? name, string use)
    {
        Directory.CreateDirectory(folder);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var subject = new X500DistinguishedNameBuilder();
        subject.AddOrganizationName("lab");
        if (name is not null)
            subject.AddCommonName(name);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(use)], false));
        using var certificate = request.Create(
            _authority,
            _authority.NotBefore,
            _authority.NotAfter,
            Guid.NewGuid().ToByteArray()
        );
        File.WriteAllText(Path.Combine(folder, "ca.pem"), _authority.ExportCertificatePem());
        File.WriteAllText(Path.Combine(folder, "cert.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(Path.Combine(folder, "key.pem"), key.ExportECPrivateKeyPem());
    }

    public void Dispose()
    {
        _authority.Dispose();
        _key.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
