// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Engine;

/// <summary>Lets through of a JSON object only the values of the members that are read; in place of every other stands
/// a 0. What others can make long (of a container: the names that it has in its
/// networks, its execs) is so never kept. It takes the text for JSON: garbled it comes out garbled.</summary>
/// <param name="inner">The object's text.</param>
/// <param name="names">Of the members, as the engine spells them.</param>
sealed class SelectedMembers(Stream inner, IReadOnlySet<string> names) : ReadOnlyStream(inner)
{
    const int MaxNameLength = 128;

    readonly byte[] _name = new byte[MaxNameLength];
    int _depth,
        _length;
    bool _inText,
        _escaped,
        _skips,
        _begins;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (await Inner.ReadAsync(buffer, cancellationToken) is > 0 and var read)
            if (Select(buffer.Span[..read]) is > 0 and var kept)
                return kept;
        return 0;
    }

    /// <summary>Moves what is kept to the front.</summary>
    int Select(Span<byte> text)
    {
        var kept = 0;
        foreach (var one in text)
        {
            var skips = _skips;
            Follow(one);
            if (!skips || !_skips)
                text[kept++] = one;
            else if (_begins)
                text[kept++] = (byte)'0';
            _begins = _skips && !skips;
        }
        return kept;
    }

    void Follow(byte one)
    {
        if (_inText)
            FollowText(one);
        else if (one == '"')
        {
            _inText = true;
            _length = _skips ? _length : 0;
        }
        else if (one is (byte)'{' or (byte)'[')
            _depth++;
        else if (one is (byte)'}' or (byte)']')
            _skips &= --_depth > 0;
        else if (_depth == 1 && one == ':')
            _skips = !names.Contains(Encoding.UTF8.GetString(_name, 0, _length));
        else if (_depth == 1 && one == ',')
            _skips = false;
    }

    void FollowText(byte one)
    {
        if (!_escaped && one == '"')
            _inText = false;
        else if (!_skips && _length < MaxNameLength)
            _name[_length++] = one;
        _escaped = !_escaped && one == '\\';
    }
}
