// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Words;

/// <summary>The docker CLI calls a plugin with its own words: global options, and for help and completion another
/// command, come before the plugin's name.</summary>
static class PluginName
{
    static readonly string[] Before = ["help", "__complete", "__completeNoDesc"];

    /// <summary>Whether the docker CLI called this program as its plugin.</summary>
    public static bool IsProgram(byte[] program)
    {
        var name = program.AsSpan(program.AsSpan().LastIndexOf((byte)'/') + 1);
        return name.SequenceEqual("docker-runai"u8);
    }

    /// <summary>The words without the plugin's name: a command line of docker's. With the name docker would call this
    /// plugin again, for ever.</summary>
    public static byte[][] Drop(byte[][] words)
    {
        for (var n = 0; n < words.Length; n++)
        {
            if (words[n].Is("runai"u8))
                return [.. words[..n], .. words[(n + 1)..]];
            if (words[n].Begins("-"u8))
                n += GlobalOptions.TakesNext(words[n]) ? 1 : 0;
            else if (!words[n].IsOneOf(Before))
                return words;
        }

        return words;
    }
}
