// SPDX-License-Identifier: Apache-2.0
using System.Text;
using System.Text.Json;

namespace Runai.GpuMemory.Protocol;

/// <summary>Fast path: allows calls that need no decision, judging by the first bytes of the request. Those are nearly
/// all calls that an engine serves, and each asks twice.</summary>
sealed class AuthZFastPath(IAuthorizer authorizer)
{
    static readonly byte[] Allowed = Response(
        JsonSerializer.SerializeToUtf8Bytes(AuthZAnswer.Allowed, AuthZJson.Default.AuthZAnswer)
    );

    /// <summary>The whole response, or null where the whole call must be read: there a bug, too, becomes an
    /// answer.</summary>
    /// <param name="call">The head.</param>
    /// <param name="body">As much of the body as is there.</param>
    public byte[]? Answer(in CallHead call, ReadOnlySpan<byte> body)
    {
        try
        {
            return IsExempt(call, body) ? Allowed : null;
        }
        catch (Exception)
        {
            // Whoever looks closer meets it again.
            return null;
        }
    }

    bool IsExempt(in CallHead call, ReadOnlySpan<byte> body)
    {
        var isBefore = call.IsTo(AuthZEndpoints.BeforePath);
        if (
            (!isBefore && !call.IsTo(AuthZEndpoints.AfterPath))
            || !AuthZPeek.TryRead(body, out var method, out var uri)
            || authorizer.NeedsDecision(method, uri)
        )
            return false;
        return !isBefore || !authorizer.MayBeDryRun(method) || AuthZPeek.Lacks(body, AuthZEndpoints.DryRunHeader);
    }

    static byte[] Response(byte[] json) =>
        [
            .. Encoding.ASCII.GetBytes(
                $"HTTP/1.1 200 OK\r\nContent-Type: {PluginEndpoint.ContentType}\r\nContent-Length: "
                    + $"{json.Length}\r\n\r\n"
            ),
            .. json,
        ];
}
