// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Runs docker for checks. What goes wrong is an answer too; only an interruption is an exception.</summary>
/// <param name="docker">With a limit of time.</param>
sealed class DockerQuestions(DockerProcess docker)
{
    /// <summary>Asks the plugin.</summary>
    public QuestionChannel Channel { get; } = new(docker);

    /// <summary>Runs a docker command.</summary>
    public DockerAnswer Ask(params IEnumerable<string> words) =>
        Try(
            () =>
            {
                var output = docker.Capture([.. words.Select(Word.Of)], docker.Globals.Config);
                return new DockerAnswer(output.Code == 0, output.Out.Text(), output.Error.Text());
            },
            problem => new(false, "", problem)
        );

    /// <summary>What a question gives, or what is made of the reason why there is no answer.</summary>
    public T Try<T>(Func<T> question, Func<string, T> otherwise)
    {
        try
        {
            return question();
        }
        catch (UserException e) when (docker.Interruption?.ExitCode is null)
        {
            return otherwise(e.Message);
        }
    }

    /// <summary>The first line of an answer as JSON; null: it is none.</summary>
    public static T? Read<T>(DockerAnswer answer, JsonTypeInfo<T> type)
        where T : class => Read(answer.Out.Split('\n')[0], type);

    /// <summary>A line as JSON; null: it is none.</summary>
    public static T? Read<T>(string line, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(line, type);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
