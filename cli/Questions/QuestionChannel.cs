// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>Asks the running plugin, through docker and the engine: contexts, TLS and ssh hold, and the engine knows
/// who asks.</summary>
sealed class QuestionChannel(DockerProcess docker) : IStatusChannel
{
    const string Question = "runai-policy-question";

    /// <summary>What the user reads where the engine answered a question that the plugin had to answer.</summary>
    public const string Unasked =
        "no answer from the plugin: is it in the engine's authorization-plugins? Run docker runai doctor";

    /// <inheritdoc/>
    public JsonElement ReadStatus(string volume)
    {
        var output = docker.Capture(["volume"u8.ToArray(), "inspect"u8.ToArray(), Word.Of(volume)], Config);
        if (output.Code != 0)
            throw Failed(volume, output.Error.Text().TrimEnd('\n'));
        return InspectedVolume.StatusOf(
            volume,
            () =>
                JsonSerializer.Deserialize(output.Out, QuestionJson.Default.InspectedVolumeArray) is [var only]
                    ? only
                    : null
        );
    }

    /// <summary>The policy in force, or what the plugin says of the given one.</summary>
    /// <exception cref="UserException">No plugin answered.</exception>
    public Answer AskPolicy(QuestionHeaders headers)
    {
        using var configuration = new QuestionConfiguration(docker.Globals.Config);
        return AskPolicy(headers, configuration);
    }

    /// <summary>What would become of a command. Asks for the policy first: an engine that does not ask the plugin would
    /// do the command.</summary>
    /// <exception cref="UserException">No plugin answered, or docker called nothing.</exception>
    public Answer AskCommand(QuestionHeaders headers, IReadOnlyList<byte[]> words)
    {
        using var configuration = new QuestionConfiguration(docker.Globals.Config);
        var policy = AskPolicy(headers, configuration);
        if (policy.IsNoPolicy && !headers.AreEmpty)
            return policy;
        configuration.Write(headers.Json("call"));
        var said = docker.Capture(words, configuration.Folder, hasInput: true).Text;
        return Answer.FindIn(said) ?? throw new UserException($"docker did not come to ask: {said}");
    }

    Answer AskPolicy(QuestionHeaders headers, QuestionConfiguration configuration)
    {
        configuration.Write(headers.Json("policy"));
        var said = docker.Capture(["wait"u8.ToArray(), Word.Of(Question)], configuration.Folder).Text;
        return Answer.FindIn(said)
            ?? throw new UserException(
                said.Contains($"No such container: {Question}", StringComparison.OrdinalIgnoreCase) ? Unasked
                : IsOfEngine(said) ? $"{Unasked}. docker said: {said}"
                : said
            );
    }

    /// <summary>Where no engine answered, docker's own words say why, and the plugin has no part in it.</summary>
    static UserException Failed(string volume, string said)
    {
        var failed = $"docker volume inspect {volume} failed";
        return new(
            said is "" ? failed
            : IsOfEngine(said) ? $"{failed}: is the plugin enabled? docker plugin ls shows it. docker said: {said}"
            : said
        );
    }

    /// <summary>Whether an error of docker's is an answer of the engine's.</summary>
    static bool IsOfEngine(string error) =>
        error.Contains("Error response from daemon", StringComparison.Ordinal)
        || error.Contains("No such volume", StringComparison.OrdinalIgnoreCase)
        || error.Contains("No such container", StringComparison.OrdinalIgnoreCase);

    string? Config => docker.Globals.Config;
}
