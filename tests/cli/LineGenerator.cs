// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.CliTests;

/// <summary>Makes command lines of which it knows what each word is, as it chose them: it reads none.</summary>
/// <param name="seed">The same lines for the same seed.</param>
/// <param name="isValid">Whether docker shall be able to create a container of it: <c>create</c>, with options and
/// values that it takes.</param>
sealed class LineGenerator(int seed, bool isValid)
{
    static readonly string[] Switches =
    [
        "--init",
        "--rm",
        "--interactive",
        "--tty",
        "-i",
        "-t",
        "-it",
        "-ti",
        "--init=true",
    ];

    static readonly string[] MoreSwitches =
    [
        "--privileged",
        "-d",
        "-dit",
        "-P",
        "--read-only",
        "--sig-proxy=false",
        "-q",
    ];

    /// <summary>Options that take a value in the next word; behind an equals sign; behind the letter.</summary>
    static readonly string[] WithValue = ["--env", "-e", "--label", "-l", "-ie", "-ite", "-tl"];

    static readonly string[] Images = ["ubuntu", "gpu-demo", "-", "run", "registry:5000/a/b@sha256:0"];

    /// <summary>What a careless reader would take for something else.</summary>
    static readonly string[] Traps =
    [
        "--gpu-memory",
        "--gpu-memory=0.9",
        "--",
        "-",
        "run",
        "create",
        "container",
        "runai",
        "policy",
        "--help",
        "-it",
        "a b",
        " ",
        "'",
        "\"a\"",
        "$HOME `id` $(id)",
        "\\",
        "a\nb\n",
        "\t",
        "@file",
        "é日",
        "*",
        "",
    ];

    readonly Random _random = new(seed);
    readonly List<byte[]> _words = [];
    readonly List<byte[]> _expected = [];
    string? _quota;

    public static GeneratedLine Make(int seed, bool isValid) => new LineGenerator(seed, isValid).Make();

    GeneratedLine Make()
    {
        if (!isValid)
            AddGlobals();
        if (Chance(3))
            Add("container");
        Add(isValid || Chance(2) ? "create" : "run");
        if (isValid)
            Add("--network=none");
        var quotaAt = _random.Next(5);
        for (var n = 0; n < 5; n++)
        {
            if (n == quotaAt && !Chance(5) || !isValid && Chance(5))
                AddQuota();
            AddOption();
        }

        if (Chance(4))
            Add("--");
        Add(isValid ? "gpu-demo" : Pick(Images));
        for (var n = _random.Next(4) + (isValid ? 1 : 0); n > 0; n--)
            Add(Value());
        return new([.. _words], [.. _expected], _quota);
    }

    void AddGlobals()
    {
        for (var n = _random.Next(3); n > 0; n--)
        {
            if (Chance(2))
                Add(Pick("--debug", "-D", "--tls", "--host=a", "-H=a", "-Ha", "--context=run"));
            else
                Add(Pick("--context", "-c", "-H", "--host", "-DH", "--config", "-l"), Value());
        }
    }

    void AddQuota()
    {
        if (isValid)
            _quota = Pick("0.5", "3g", "0.25");
        var value = _quota is null ? Value() : Encoding.UTF8.GetBytes(_quota);
        if (Chance(2))
            _words.Add([.. "--gpu-memory="u8, .. value]);
        else
            _words.AddRange(["--gpu-memory"u8.ToArray(), value]);
        _expected.AddRange(["-v"u8.ToArray(), "runai:/runai"u8.ToArray(), "--label"u8.ToArray()]);
        _expected.Add([.. "gpu-memory="u8, .. value]);
    }

    void AddOption()
    {
        if (Chance(3))
        {
            Add(Pick(isValid ? Switches : [.. Switches, .. MoreSwitches]));
            return;
        }

        var option = Pick(WithValue);
        byte[] value = isValid ? [.. Encoding.UTF8.GetBytes($"K{_words.Count}="), .. Value()] : Value();
        if (Chance(2))
            Add(option, value);
        else if (option.StartsWith("--", StringComparison.Ordinal))
            Add([.. Encoding.UTF8.GetBytes(option + "="), .. value]);
        else if (value.Length > 0) // else the value would be the next word
            Add([.. Encoding.UTF8.GetBytes(option), .. value]);
    }

    /// <summary>Any word; of a valid line UTF-8.</summary>
    byte[] Value()
    {
        if (!Chance(4))
            return Encoding.UTF8.GetBytes(Pick(Traps));
        if (isValid)
            return Encoding.UTF8.GetBytes($"v{_random.Next(100)}");
        var bytes = new byte[1 + _random.Next(6)];
        _random.NextBytes(bytes);
        return [.. bytes.Select(b => b == 0 ? (byte)0xff : b)];
    }

    void Add(string word) => Add(Encoding.UTF8.GetBytes(word));

    void Add(string option, byte[] value)
    {
        Add(option);
        Add(value);
    }

    void Add(byte[] word)
    {
        _words.Add(word);
        _expected.Add(word);
    }

    bool Chance(int of) => _random.Next(of) == 0;

    string Pick(params string[] from) => from[_random.Next(from.Length)];
}
