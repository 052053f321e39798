// SPDX-License-Identifier: Apache-2.0
using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http;
using HttpMethod = Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http.HttpMethod;

namespace Runai.GpuMemory.Protocol;

/// <summary>The head of a call in the one form in which engines write it: POST, a literal path, HTTP/1.1, a body of the
/// length that stands there. Every other form is the web server's.</summary>
readonly struct CallHead
{
    static readonly HttpParser<Fields> Parser = new();

    readonly ReadOnlyMemory<byte> _path;

    CallHead(ReadOnlyMemory<byte> path, int length, int bodyLength) =>
        (_path, Length, CallLength) = (path, length, length + bodyLength);

    /// <summary>Of the head itself, in bytes, the empty line included.</summary>
    public int Length { get; }

    /// <summary>Of head and body.</summary>
    public int CallLength { get; }

    /// <summary>Whether the request line has exactly this path.</summary>
    public bool IsTo(string path) => Ascii.Equals(_path.Span, path);

    /// <summary>Null where the head is not all there, or has another form.</summary>
    public static CallHead? Read(ReadOnlyMemory<byte> begin)
    {
        var reader = new SequenceReader<byte>(new(begin));
        var fields = new Fields();
        try
        {
            return
                Parser.ParseRequestLine(fields, ref reader)
                && Parser.ParseHeaders(fields, ref reader)
                && fields is { IsOdd: false, BodyLength: { } length }
                ? new(begin[fields.Path], (int)reader.Consumed, length)
                : null;
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException)
        {
            return null; // the web server says so
        }
    }

    sealed class Fields : IHttpRequestLineHandler, IHttpHeadersHandler
    {
        public Range Path { get; private set; }
        public int? BodyLength { get; private set; }

        /// <summary>There is something that changes how the body is to be read, or what is to become of the
        /// connection.</summary>
        public bool IsOdd { get; private set; }

        public void OnStartLine(
            HttpVersionAndMethod versionAndMethod,
            TargetOffsetPathLength targetPath,
            Span<byte> startLine
        )
        {
            IsOdd |=
                versionAndMethod is not { Method: HttpMethod.Post, Version: HttpVersion.Http11 }
                || targetPath.IsEncoded;
            Path = targetPath.Offset..(targetPath.Offset + targetPath.Length);
        }

        public void OnHeader(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
        {
            if (Ascii.EqualsIgnoreCase(name, "Content-Length"u8))
            {
                IsOdd |=
                    !Utf8Parser.TryParse(value, out int length, out _)
                    || value.ContainsAnyExceptInRange((byte)'0', (byte)'9')
                    || length > PluginEndpoint.MaxBodyBytes
                    || BodyLength is not null;
                BodyLength = length;
            }
            else
            {
                IsOdd |=
                    Ascii.EqualsIgnoreCase(name, "Transfer-Encoding"u8)
                    || Ascii.EqualsIgnoreCase(name, "Expect"u8)
                    || Ascii.EqualsIgnoreCase(name, "Connection"u8)
                    || Ascii.EqualsIgnoreCase(name, "Upgrade"u8);
            }
        }

        public void OnHeadersComplete(bool endStream) { }

        public void OnStaticIndexedHeader(int index) { }

        public void OnStaticIndexedHeader(int index, ReadOnlySpan<byte> value) { }
    }
}
