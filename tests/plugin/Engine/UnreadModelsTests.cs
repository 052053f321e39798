// SPDX-License-Identifier: Apache-2.0
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Xml.Linq;
using Docker.DotNet;
using Docker.DotNet.Models;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests.Engine;

/// <summary>Docker.DotNet makes the descriptions of all its models reachable, so a native program would have them all.
/// The file names those that the plugin reads nothing of, for the compiler to leave out. UPDATE_CASES=1 writes
/// it.</summary>
[Category("Check")]
sealed class UnreadModelsTests
{
    /// <summary>The answers of the package's calls that <c>EngineClient</c> makes.</summary>
    static readonly Type[] Answers =
    [
        typeof(ContainerPathStatResponse),
        typeof(NetworkResponse),
        typeof(Plugin),
        typeof(SystemInfoResponse),
        typeof(VolumeResponse),
        typeof(VolumesListResponse),
    ];

    static readonly Assembly Package = typeof(DockerClient).Assembly;

    static readonly string[] Contexts =
    [
        "Docker.DotNet.Models.DockerModelsJsonSerializerContext",
        "Docker.DotNet.DockerExtendedJsonSerializerContext",
    ];

    static string FilePath([CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "../../../plugin/Engine/unread-models.xml");

    [Test]
    public void The_native_program_has_the_models_that_it_reads()
    {
        var expected = Substitutions(ReadModels());
        if (Environment.GetEnvironmentVariable("UPDATE_CASES") == "1")
            File.WriteAllText(FilePath(), expected);
        Assert.That(File.ReadAllText(FilePath()), Is.EqualTo(expected));
    }

    /// <summary>The answers, and all that they are made of.</summary>
    static HashSet<Type> ReadModels()
    {
        var models = new HashSet<Type>();
        var left = new Queue<Type>(Answers);
        while (left.TryDequeue(out var type))
        {
            foreach (var part in PartsOf(type))
                left.Enqueue(part);
            if (type.Assembly != Package || type.IsGenericType || !models.Add(type))
                continue;
            foreach (var property in type.GetProperties())
                left.Enqueue(property.PropertyType);
        }
        return models;
    }

    static Type[] PartsOf(Type type) => type.IsArray ? [type.GetElementType()!] : type.GetGenericArguments();

    static bool IsUnread(Type type, HashSet<Type> read) =>
        PartsOf(type) is { Length: > 0 } parts
            ? parts.Any(part => IsUnread(part, read))
            : type.Assembly == Package && !read.Contains(type);

    /// <summary>In the compiler's format: the method that describes an unread model only throws.</summary>
    static string Substitutions(HashSet<Type> read)
    {
        var types =
            from context in Contexts
            select new XElement(
                "type",
                new XAttribute("fullname", context),
                from method in Package.GetType(context)!.GetMethods(BindingFlags.Instance | BindingFlags.NonPublic)
                where method.Name.StartsWith("Create_", StringComparison.Ordinal)
                where IsUnread(method.ReturnType.GetGenericArguments()[0], read)
                orderby method.Name
                select new XElement(
                    "method",
                    new XAttribute("signature", Signature(method)),
                    new XAttribute("body", "remove")
                )
            );
        var document = new XDocument(
            new XComment(" SPDX-License-Identifier: Apache-2.0 "),
            new XComment(
                " Models of Docker.DotNet that the plugin does not read. UnreadModelsTests writes this file. "
            ),
            new XElement("linker", new XElement("assembly", new XAttribute("fullname", "Docker.DotNet"), types))
        );
        return $"{document}\n";
    }

    static string Signature(MethodInfo method) =>
        $"{NameOf(method.ReturnType)} {method.Name}("
        + $"{string.Join(',', method.GetParameters().Select(parameter => NameOf(parameter.ParameterType)))})";

    static string NameOf(Type type) =>
        type.IsArray ? $"{NameOf(type.GetElementType()!)}[]"
        : type.IsGenericType
            ? $"{type.Namespace}.{type.Name}<{string.Join(',', type.GetGenericArguments().Select(NameOf))}>"
        : type.FullName!.Replace('+', '/'); // nested, as the compiler writes it
}
