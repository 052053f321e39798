// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.Engine;

/// <summary>Takes the IDs out of the answer to <c>GET /containers/json</c> as it comes. The rest, among it all labels
/// of all containers, can be of any size and is not kept.</summary>
sealed class ContainerIds
{
    const int Container = 2;

    readonly List<string> _found = [];
    readonly byte[] _text = new byte[128];
    int _depth,
        _length;
    bool _inText,
        _escaped,
        _isId,
        _begun;

    /// <summary>Returns whole IDs in the engine's order, the newest container first. Throws <see cref="IOException"/>
    /// if the list is cut or garbled.</summary>
    public static async Task<IReadOnlyList<string>> ReadAsync(Stream answer, CancellationToken cancel)
    {
        var ids = new ContainerIds();
        var buffer = new byte[1 << 16];
        while (await answer.ReadAsync(buffer, cancel) is > 0 and var read)
            foreach (var one in buffer.AsSpan(0, read))
                ids.Feed(one);
        return ids is { _begun: true, _depth: 0 }
            ? ids._found
            : throw new IOException("the list of containers is cut or garbled");
    }

    void Feed(byte one)
    {
        if (_inText)
            FeedText(one);
        else if (one == '"')
        {
            _inText = true;
            _length = 0;
        }
        else if (one is (byte)'{' or (byte)'[')
        {
            if (_depth++ == 0)
                _begun = one == '[';
        }
        else if (one is (byte)'}' or (byte)']')
        {
            _depth--;
            _isId = false;
        }
        else if (_depth == Container && one is (byte)':' or (byte)',')
            _isId = one == ':' && _text.AsSpan(0, _length).SequenceEqual("Id"u8);
    }

    void FeedText(byte one)
    {
        if (!_escaped && one == '"')
        {
            _inText = false;
            if (_isId && _depth == Container)
                _found.Add(Encoding.UTF8.GetString(_text, 0, _length));
            return;
        }
        _escaped = !_escaped && one == '\\';
        if (_length < _text.Length)
            _text[_length++] = one;
    }
}
