// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Runai.GpuMemory.Protocol;

/// <summary>Reads which API call the engine asks about without reading all of it: most calls need no decision, and
/// their bodies may be large. The engine writes the members in a fixed order, and those few come before the
/// bodies.</summary>
static class AuthZPeek
{
    /// <summary>False where the begin does not show both: then all must be read.</summary>
    public static bool TryRead(
        ReadOnlySpan<byte> begin,
        [NotNullWhen(true)] out string? method,
        [NotNullWhen(true)] out string? uri
    )
    {
        method = null;
        uri = null;
        var reader = new Utf8JsonReader(begin, isFinalBlock: false, default);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return false;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var isMethod = reader.ValueTextEquals("RequestMethod"u8);
                var isUri = reader.ValueTextEquals("RequestUri"u8);
                if (!reader.Read())
                    return false;
                if (isMethod && reader.TokenType == JsonTokenType.String)
                    method = reader.GetString();
                else if (isUri && reader.TokenType == JsonTokenType.String)
                    uri = reader.GetString();
                else if (!reader.TrySkip())
                    return false;
                if (method is not null && uri is not null)
                    return true;
            }
        }
        // Said by whoever reads all.
        catch (Exception e) when (e is JsonException or InvalidOperationException) { }
        return false;
    }

    /// <summary>Whether the request certainly came without this header. False too where the begin does not show all
    /// headers: then all must be read.</summary>
    public static bool Lacks(ReadOnlySpan<byte> begin, string header)
    {
        var reader = new Utf8JsonReader(begin, isFinalBlock: false, default);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return false;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var isHeaders = reader.ValueTextEquals("RequestHeaders"u8);
                if (!reader.Read())
                    return false;
                if (!isHeaders || reader.TokenType != JsonTokenType.StartObject)
                {
                    if (!reader.TrySkip())
                        return false;
                    continue;
                }
                while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                    if (
                        header.Equals(reader.GetString(), StringComparison.OrdinalIgnoreCase)
                        || !reader.Read()
                        || !reader.TrySkip()
                    )
                        return false;
                if (reader.TokenType != JsonTokenType.EndObject)
                    return false;
            }
            return reader.TokenType == JsonTokenType.EndObject && reader.CurrentDepth == 0;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false; // Said by whoever reads all.
        }
    }
}
