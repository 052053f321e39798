// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests.Admission;

/// <summary>A file of <c>cases/</c>: what is asked for, and what the plugin answers. A line <c>--- NAME</c> begins each
/// block.</summary>
sealed class GoldenCase(string path)
{
    const int Width = 100;

    static readonly string[] BlockNames = ["policy", "user", "call", "gpus", "body", "rule", "quota", "message"];

    readonly Dictionary<string, string> _blocks = Read(path);

    static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "cases");

    /// <summary>Those whose file name begins so, by name.</summary>
    public static IEnumerable<GoldenCase> All(string prefix = "") =>
        Directory
            .EnumerateFiles(Folder(), $"{prefix}*.case")
            .Order(StringComparer.Ordinal)
            .Select(file => new GoldenCase(file));

    /// <summary>The text of a policy that several cases share, e.g. <c>closed.json</c>.</summary>
    public static string SharedPolicy(string name) => File.ReadAllText(Path.Combine(Folder(), name));

    /// <summary>The policy file; null where there is none. Its block has JSON or the name of a file in
    /// <c>cases/</c>.</summary>
    public string? Policy => TryGet("policy", out var text) && !text.StartsWith('{') ? SharedPolicy(text) : text;

    /// <summary>Who makes the calls; empty: whoever is on the socket.</summary>
    public string User => TryGet("user", out var text) ? text : "";

    /// <summary>The API calls with this body, as <c>POST /v1.51/services/create</c>; none: it creates a
    /// container.</summary>
    public string[] Calls => TryGet("call", out var text) ? text.Split('\n') : [];

    /// <summary>Whether the sizes of the GPUs are unknown: <c>none</c>.</summary>
    public bool HasNoGpus => TryGet("gpus", out _);

    public string Body => TryGet("body", out var text) ? text : throw new FormatException($"{path} has no --- body");

    /// <summary>Whether answers go into the file.</summary>
    public bool Updates { get; init; } = Environment.GetEnvironmentVariable("UPDATE_CASES") == "1";

    public override string ToString() => Path.GetFileNameWithoutExtension(path);

    /// <summary>Compares the answer with the file's. With <c>UPDATE_CASES=1</c> it writes the message into the file
    /// instead.</summary>
    /// <param name="rules">Those that refuse; none: the case is allowed.</param>
    /// <param name="message">What the user reads; empty where the case is allowed.</param>
    /// <param name="quota">What is allowed has; null where that is none.</param>
    public void Check(IEnumerable<string> rules, string message, string? quota)
    {
        Assert.That(_blocks.Keys, Is.SubsetOf(BlockNames));
        if (!TryGet("rule", out var rule))
            throw new FormatException($"{path} has no --- rule: name those that refuse, or write allowed");
        TryGet("quota", out var expected);
        TryGet("message", out var words);
        Assert.That(string.Join('\n', rules.DefaultIfEmpty("allowed")), Is.EqualTo(rule), message);
        Assert.That(quota, Is.EqualTo(expected), "quota");
        if (Updates)
            WriteMessage(message);
        else
            Assert.That(message, Is.EqualTo(words?.Replace('\n', ' ') ?? ""));
    }

    /// <summary>And leaves the other blocks as they are.</summary>
    public void WriteMessage(string message)
    {
        if (message.Length == 0)
            _blocks.Remove("message");
        else
            _blocks["message"] = Wrap(message) + "\n";
        File.WriteAllText(path, string.Concat(_blocks.Select(block => $"--- {block.Key}\n{block.Value}")));
    }

    bool TryGet(string name, [NotNullWhen(true)] out string? text)
    {
        var isThere = _blocks.TryGetValue(name, out text);
        text = text?.TrimEnd('\n');
        return isThere;
    }

    /// <summary>Each block with its newlines.</summary>
    static Dictionary<string, string> Read(string path)
    {
        var blocks = new Dictionary<string, string>();
        var name = "";
        foreach (var line in File.ReadLines(path))
        {
            if (line.StartsWith("--- ", StringComparison.Ordinal))
                blocks.Add(name = line[4..], "");
            else
                blocks[name] = blocks.GetValueOrDefault(name) + line + "\n";
        }
        return blocks;
    }

    static string Wrap(string message)
    {
        var text = new StringBuilder();
        var column = 0;
        foreach (var word in message.Split(' '))
        {
            var begins = column == 0 || column + 1 + word.Length > Width;
            text.Append(
                    column == 0 ? ""
                    : begins ? "\n"
                    : " "
                )
                .Append(word);
            column = begins ? word.Length : column + 1 + word.Length;
        }
        return text.ToString();
    }
}
